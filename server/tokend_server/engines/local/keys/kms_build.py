"""Builds the key manager on AWS KMS from the configuration."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

from tokend_server.aws.attempts import Attempts
from tokend_server.aws.client import aws_client
from tokend_server.clock import Clock
from tokend_server.config import Config
from tokend_server.engines.local.keys.given_kms_key import GivenKmsKey
from tokend_server.engines.local.keys.kms_api import KmsApi, KmsAttempts
from tokend_server.engines.local.keys.kms_keys import KmsKeys, NewKeys
from tokend_server.engines.local.keys.kms_material import region_of
from tokend_server.engines.local.keys.kms_policy import key_policy, policy_problems
from tokend_server.engines.local.keys.kms_regions import KmsRegion, KmsRegions
from tokend_server.engines.local.keys.kms_wrapping import KmsWrapping, KmsWrappingKey
from tokend_server.errors import ConfigError
from tokend_server.metrics import Metrics
from tokend_server.token_bucket import TokenBucket

#: The share of the threads that may wait for KMS, so that calls without a signature are served while KMS hangs.
_SHARE = 0.75

#: The number of further connections, for readiness checks and new keys.
_OTHER_CONNECTIONS = 2


@contextmanager
def open_kms_keys(config: Config, metrics: Metrics, clock: Clock) -> Iterator[KmsKeys]:
    """Returns a context manager with the key manager, whose connections are closed at its end; it sends no request.

    Args:
        config: The configuration.
        metrics: Where requests are counted.
        clock: The time.

    Raises:
        ConfigError: The profile, the region, the endpoint or the key policy cannot be used.
    """
    settings = config.keys.kms
    if problems := list(policy_problems(config)):
        raise ConfigError(problems)
    new_keys = NewKeys(
        region=settings.region,
        owner=config.issuer.url or config.issuer.listen,
        policy=key_policy(settings.key_policy_file) if settings.key_policy_file else None,
        deletion_window_days=settings.deletion_window_days,
    )
    with closing(KmsRegions(partial(_open_region, config, metrics, clock))) as regions:
        try:
            if settings.region:
                regions.of(settings.region)
        except ValueError as error:
            raise ConfigError([f"keys.kms: {error}"]) from error
        yield KmsKeys(regions, new_keys, clock)


@contextmanager
def open_kms_wrapping(config: Config, metrics: Metrics, clock: Clock) -> Iterator[KmsWrapping]:
    """Returns a context manager with the encryption of private keys by KMS, whose connections are closed at its end.

    Args:
        config: The configuration.
        metrics: Where requests are counted.
        clock: The time.

    Raises:
        ConfigError: The profile, the region or the endpoint cannot be used.
    """
    settings = config.keys.encryption
    with closing(KmsRegions(partial(_open_region, config, metrics, clock))) as regions:

        def opened(key_id: str) -> KmsWrappingKey:
            region = region_of(key_id) if key_id.startswith("arn:") else config.keys.kms.region or ""
            return key_id, regions.of(region).api

        try:
            current = opened(settings.kms_key_id) if settings.kms_key_id else None
            previous = [opened(each) for each in settings.previous_kms_key_ids]
        except ValueError as error:
            raise ConfigError([f"keys.encryption: {error}"]) from error
        yield KmsWrapping(current, previous, os.urandom)


@contextmanager
def open_given_key(config: Config, metrics: Metrics, clock: Clock, key_id: str) -> Iterator[GivenKmsKey]:
    """Returns a context manager with the key manager whose new key is an existing key in KMS.

    Args:
        config: The configuration.
        metrics: Where requests are counted.
        clock: The time.
        key_id: The key's ARN, an alias's ARN, or a key id or an alias in `keys.kms.region`.

    Raises:
        ConfigError: As `open_kms_keys`.
    """
    with open_kms_keys(config, metrics, clock) as keys:
        yield GivenKmsKey(keys, key_id)


def _open_region(config: Config, metrics: Metrics, clock: Clock, region: str) -> KmsRegion:
    settings, threads = config.keys.kms, config.grpc.threads
    client, _ = aws_client("kms", settings, region, connections=threads + _OTHER_CONNECTIONS, clock=clock)
    Attempts(client, KmsAttempts(region, metrics), max_attempts=settings.max_attempts, clock=clock)
    max_calls = settings.max_calls or max(1, int(threads * _SHARE))
    api = KmsApi(client, region, max_calls=max_calls, timeout=settings.timeout_seconds, metrics=metrics, clock=clock)
    return KmsRegion(api, _quota(config, clock), _quota(config, clock))


def _quota(config: Config, clock: Clock) -> TokenBucket | None:
    """Returns this server's share of the rate of all servers."""
    settings, replicas = config.keys.kms, config.limits.replicas
    if not settings.requests_per_second:
        return None
    return TokenBucket(settings.requests_per_second / replicas, max(1, settings.burst // replicas), clock)
