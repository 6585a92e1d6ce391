"""AWS KMS, where signing keys may be."""

from pydantic import Field

from tokend_server.config.fields import EndpointUrl, PositiveSeconds, Section
from tokend_server.config.paths import LocalPath


class Kms(Section):
    """AWS KMS, for signing keys that never leave it."""

    region: str | None = Field(
        None, pattern=r"^[a-z]{2,}(-[a-z]+)+-\d+$", description="Region in which signing keys are made"
    )
    endpoint_url: EndpointUrl | None = Field(
        None, description="Where KMS's API is; default AWS's endpoint of each key's region"
    )
    profile: str | None = Field(
        None, min_length=1, description="Profile of the AWS configuration files; default as boto3 finds credentials"
    )
    role_arn: str | None = Field(
        None,
        pattern=r"^arn:[a-z-]+:iam::\d{12}:role/[\w+=,.@/-]+$",
        description="Role to assume for the calls, and to assume again before it expires",
    )
    timeout_seconds: PositiveSeconds = Field(
        5.0, description="Longest that a call waits for a signature, retries included, whatever its caller's deadline"
    )
    connect_timeout_seconds: PositiveSeconds = Field(1.0, description="Longest that a connection takes")
    max_attempts: int = Field(3, ge=1, le=10, description="Requests for one signature; 1 retries nothing")
    requests_per_second: float = Field(
        800.0,
        ge=0,
        le=100_000,
        allow_inf_nan=False,
        description="Signatures of all `limits.replicas` in a region, retries included, above which calls are refused: "
        "by RSA keys, and by others; 0: none",
    )
    burst: int = Field(
        100,
        ge=1,
        le=100_000,
        description="Signatures that may come at once after a pause; with the rate at most the quota",
    )
    max_calls: int | None = Field(
        None, ge=1, le=1024, description="Calls that may wait for KMS; default three quarters of grpc.threads"
    )
    key_policy_file: LocalPath | None = Field(
        None, description="File with the key policy of keys that are made, as JSON; default KMS's own"
    )
    deletion_window_days: int | None = Field(
        None,
        ge=7,
        le=30,
        description="Days after which KMS deletes a key that tokend has made and removed from the store; "
        "default: it is left",
    )
