"""Amazon Resource Names of identity pools (Service Authorization Reference, "Amazon Cognito Identity")."""

from collections.abc import Mapping

from tokend_server.model import pool_region

#: The partitions other than `aws`, by the prefix of their Regions' names.
_PARTITIONS: Mapping[str, str] = {
    "cn-": "aws-cn",
    "eu-isoe-": "aws-iso-e",
    "eusc-": "aws-eusc",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "us-isof-": "aws-iso-f",
}


def partition_of(region: str) -> str:
    """Returns the partition in the ARNs of a Region."""
    return next((name for prefix, name in _PARTITIONS.items() if region.startswith(prefix)), "aws")


def identity_pool_arn(identity_pool_id: str, account_id: str) -> str:
    """Returns the ARN of a pool in an account, 12 digits."""
    region = pool_region(identity_pool_id)
    return f"arn:{partition_of(region)}:cognito-identity:{region}:{account_id}:identitypool/{identity_pool_id}"
