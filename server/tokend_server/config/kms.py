"""AWS KMS, where signing keys may be."""

from pydantic import Field

from tokend_server.config.aws_client import AwsClientSettings, Region
from tokend_server.config.paths import LocalPath


class Kms(AwsClientSettings):
    """AWS KMS, for signing keys that never leave it."""

    region: Region | None = Field(None, description="Region in which signing keys are made")
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
