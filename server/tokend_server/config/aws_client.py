"""The settings of clients of AWS services."""

from typing import Annotated

from pydantic import Field

from tokend_server.config.fields import EndpointUrl, PositiveSeconds, Section

# Spelled out, because \d and \w in pydantic's patterns match digits and letters of all scripts.
Region = Annotated[str, Field(pattern=r"^[a-z]{2,}(-[a-z]+)+-[0-9]+$")]
RoleArn = Annotated[str, Field(pattern=r"^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$")]


class AwsClientSettings(Section):
    """The settings of boto3's client for a service, as in `tokend_server.aws.client.ClientSettings`."""

    endpoint_url: EndpointUrl | None = Field(
        None, description="URL of the service's API; default AWS's endpoint of the region"
    )
    profile: str | None = Field(
        None, min_length=1, description="Profile in the AWS configuration files; default: boto3's credential chain"
    )
    role_arn: RoleArn | None = Field(
        None, description="Role to assume for the calls; its credentials are renewed before they expire"
    )
    timeout_seconds: PositiveSeconds = Field(
        5.0, description="Timeout of calls to the service, including retries, whatever the caller's deadline"
    )
    connect_timeout_seconds: PositiveSeconds = Field(1.0, description="Timeout of connections")
    max_attempts: int = Field(3, ge=1, le=10, description="Maximum of requests for a call; 1: no retries")
