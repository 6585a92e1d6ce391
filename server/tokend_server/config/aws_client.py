"""How services of AWS are reached."""

from typing import Annotated

from pydantic import Field

from tokend_server.config.fields import EndpointUrl, PositiveSeconds, Section

# Spelled out, since \d and \w of pydantic's patterns are the digits and letters of all scripts.
Region = Annotated[str, Field(pattern=r"^[a-z]{2,}(-[a-z]+)+-[0-9]+$")]
RoleArn = Annotated[str, Field(pattern=r"^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$")]


class AwsClientSettings(Section):
    """What boto3's client of a service needs: the settings of `tokend_server.aws.client.ClientSettings`."""

    endpoint_url: EndpointUrl | None = Field(
        None, description="Where the service's API is; default AWS's endpoint of the region"
    )
    profile: str | None = Field(
        None, min_length=1, description="Profile of the AWS configuration files; default as boto3 finds credentials"
    )
    role_arn: RoleArn | None = Field(
        None, description="Role to assume for the calls, and to assume again before it expires"
    )
    timeout_seconds: PositiveSeconds = Field(
        5.0, description="Longest that a call waits for the service, retries included, whatever its caller's deadline"
    )
    connect_timeout_seconds: PositiveSeconds = Field(1.0, description="Longest that a connection takes")
    max_attempts: int = Field(3, ge=1, le=10, description="Requests for one call; 1 retries nothing")
