"""The settings of AWS KMS for signing keys."""

from pydantic import Field

from tokend_server.config.aws_client import AwsClientSettings, Region
from tokend_server.config.paths import LocalPath


class Kms(AwsClientSettings):
    """AWS KMS, for signing keys that never leave it."""

    region: Region | None = Field(None, description="Region in which signing keys are created")
    requests_per_second: float = Field(
        800.0,
        ge=0,
        le=100_000,
        allow_inf_nan=False,
        description="Maximum of signatures a second of all `limits.replicas` in a region, including retries, by RSA "
        "keys and by others; 0: no limit",
    )
    burst: int = Field(
        100,
        ge=1,
        le=100_000,
        description="Burst of signatures after a pause; together with the rate at most the quota",
    )
    max_calls: int | None = Field(
        None, ge=1, le=1024, description="Maximum of calls that wait for KMS; default three quarters of grpc.threads"
    )
    key_policy_file: LocalPath | None = Field(
        None, description="File with the key policy of new keys, as JSON; default KMS's own"
    )
    deletion_window_days: int | None = Field(
        None,
        ge=7,
        le=30,
        description="Days after which KMS deletes a key that tokend has created and removed from the store; "
        "default: it is kept",
    )
