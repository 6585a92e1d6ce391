"""Amazon Resource Names of identity pools (Service Authorization Reference, "Amazon Cognito Identity")."""

from collections.abc import Mapping

#: The partitions beside AWS's first one, by what the names of their regions begin with.
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
    """The second word of ARNs in a Region."""
    return next((name for prefix, name in _PARTITIONS.items() if region.startswith(prefix)), "aws")


def identity_pool_arn(identity_pool_id: str, account_id: str) -> str:
    """The ARN of a pool of an account, 12 digits."""
    region = identity_pool_id.partition(":")[0]
    return f"arn:{partition_of(region)}:cognito-identity:{region}:{account_id}:identitypool/{identity_pool_id}"
