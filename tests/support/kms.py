"""Keys in KMS for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from prometheus_client import CollectorRegistry
from tests.fakes.cognito_upstream import ACCESS_KEY
from tests.fakes.kms_upstream import KmsUpstream
from tests.support.aws_environment import give_credentials, without_aws_settings
from tests.support.dynamodb import moto

from tokend_server.clock import Clock, SystemClock
from tokend_server.config import Config
from tokend_server.engines.local.keys.kms_build import open_kms_keys, open_kms_wrapping
from tokend_server.engines.local.keys.kms_keys import KmsKeys
from tokend_server.engines.local.keys.kms_wrapping import KmsWrapping
from tokend_server.metrics import Metrics

REGION = "eu-west-1"


@contextmanager
def kms(directory: Path) -> Iterator[KmsUpstream]:
    """A KMS, with credentials for it in the environment, and no other AWS settings."""
    with pytest.MonkeyPatch.context() as environment, moto() as url, KmsUpstream(url, REGION) as upstream:
        without_aws_settings(environment, directory)
        give_credentials(environment, ACCESS_KEY)
        yield upstream


def config_of(upstream: KmsUpstream, **settings: object) -> Config:
    """Returns a configuration with keys in KMS."""
    return Config.model_validate({"keys": {"kms": {"region": REGION, "endpoint_url": upstream.url, **settings}}})


@contextmanager
def kms_keys(
    upstream: KmsUpstream, clock: Clock | None = None, metrics: Metrics | None = None, **settings: object
) -> Iterator[KmsKeys]:
    """Returns the key manager of a process."""
    metrics = metrics or Metrics(CollectorRegistry())
    with open_kms_keys(config_of(upstream, **settings), metrics, clock or SystemClock()) as keys:
        yield keys


def new_wrapping_key(upstream: KmsUpstream) -> str:
    """Returns the ARN of a new encryption key."""
    arn: str = boto3_client(upstream).create_key()["KeyMetadata"]["Arn"]
    return arn


def encrypted_by(upstream: KmsUpstream, kms_key_id: str, *previous: str, **settings: object) -> Config:
    """Returns a configuration with keys in the store, encrypted with a KMS key."""
    kms = {"region": REGION, "endpoint_url": upstream.url, **settings}
    encryption = {"method": "aws-kms", "kms_key_id": kms_key_id, "previous_kms_key_ids": list(previous)}
    return Config.model_validate({"keys": {"kms": kms, "encryption": encryption}})


@contextmanager
def kms_wrapping(config: Config, metrics: Metrics | None = None) -> Iterator[KmsWrapping]:
    """Returns the KMS key encryption of a process."""
    with open_kms_wrapping(config, metrics or Metrics(CollectorRegistry()), SystemClock()) as wrapping:
        yield wrapping


def boto3_client(upstream: KmsUpstream) -> Any:  # noqa: ANN401 - it has no types
    """Returns a KMS client for operators."""
    key = ACCESS_KEY
    return boto3.client(
        "kms",
        REGION,
        endpoint_url=upstream.url,
        aws_access_key_id=key.aws_access_key_id,
        aws_secret_access_key=key.aws_secret_access_key,
    )
