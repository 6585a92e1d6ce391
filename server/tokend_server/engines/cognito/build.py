"""Builds the Cognito engine's parts from the configuration."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from tokend_server.aws.attempts import Attempts
from tokend_server.aws.client import aws_client
from tokend_server.clock import Clock
from tokend_server.config import Cognito, Config, Pool
from tokend_server.engine import BeforeChange, do_nothing
from tokend_server.engines.cognito.backend import RegionBackend
from tokend_server.engines.cognito.engine import CognitoEngine, Sharing
from tokend_server.engines.cognito.gateway import CognitoGateway, RegionAttempts
from tokend_server.engines.cognito.lasting_errors import LastingErrors
from tokend_server.engines.cognito.quota import Quota
from tokend_server.errors import ConfigError
from tokend_server.metrics import Metrics
from tokend_server.model import pool_region
from tokend_server.token_cache import TokenCache

#: The share of the threads that may wait for Cognito if there are other pools, which must be served while it hangs.
_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class CognitoEngines:
    """The engines of all pools in Cognito, with one client for each Region."""

    by_pool: Mapping[str, CognitoEngine]
    by_region: Mapping[str, RegionBackend]
    close: Callable[[], None]


class _Region(NamedTuple):
    gateway: CognitoGateway
    backend: RegionBackend
    lasting_errors: LastingErrors


def build_cognito_engines(
    config: Config,
    pools: Mapping[str, Pool],
    metrics: Metrics,
    clock: Clock,
    before_change: BeforeChange = do_nothing,
) -> CognitoEngines:
    """Builds a client for each Region and an engine for each pool, without a request.

    Args:
        config: The configuration.
        pools: Its pools in Cognito.
        metrics: The metrics of requests and responses.
        clock: The time.
        before_change: Called before each request that may make a change.

    Raises:
        ConfigError: The profile or the endpoint cannot be used.
    """
    regions = Counter(map(pool_region, pools))
    max_calls = config.cognito.max_calls or default_max_calls(
        config.grpc.threads, len(regions), alone=len(pools) == len(config.pools)
    )
    with ExitStack() as undo:
        built: dict[str, _Region] = {}
        for region, size in sorted(regions.items()):
            built[region] = _region(config, region, size, max_calls, metrics, clock)
            undo.callback(built[region].gateway.close)
        by_pool = {
            identity_pool_id: _engine(
                identity_pool_id, built[pool_region(identity_pool_id)], config.cognito, metrics, clock, before_change
            )
            for identity_pool_id in pools
        }
        by_region = {name: region.backend for name, region in built.items()}
        return CognitoEngines(by_pool, by_region, undo.pop_all().close)


def default_max_calls(threads: int, regions: int, *, alone: bool) -> int:
    """Returns the number of calls that may wait for a Region, so that a Region that hangs leaves threads for others.

    Args:
        threads: The number of the server's threads.
        regions: The number of Regions.
        alone: Whether all pools are Cognito's.
    """
    return threads if alone and regions == 1 else max(1, int(threads * _SHARE) // regions)


def _region(  # noqa: PLR0913, PLR0917 - all shared parts of the pools of a Region
    config: Config, region: str, pools: int, max_calls: int, metrics: Metrics, clock: Clock
) -> _Region:
    settings = config.cognito
    try:
        client, credentials = aws_client(
            "cognito-identity", settings, region, connections=config.grpc.threads, clock=clock
        )
    except ValueError as error:
        raise ConfigError([f"cognito: {error}"]) from error
    quota = Quota(settings.requests_per_second, settings.burst, clock)
    if settings.requests_per_second:
        metrics.cognito_quota.labels(region).set(settings.requests_per_second)
    Attempts(client, RegionAttempts(region, quota, metrics), max_attempts=settings.max_attempts, clock=clock)
    gateway = CognitoGateway(
        client, region, quota, max_calls=max_calls, timeout=settings.timeout_seconds, metrics=metrics
    )
    lasting_errors = LastingErrors(clock, pools, partial(_count_rejected, metrics))
    return _Region(gateway, RegionBackend(credentials, lasting_errors), lasting_errors)


def _engine(  # noqa: PLR0913, PLR0917 - all its parts
    identity_pool_id: str,
    region: _Region,
    settings: Cognito,
    metrics: Metrics,
    clock: Clock,
    before_change: BeforeChange,
) -> CognitoEngine:
    pool = metrics.pool_label(identity_pool_id)
    answers = {
        source: metrics.cognito_answers.labels(pool, source) for source in ("cognito", "shared", "reused", "stale")
    }
    metrics.cognito_credentials_rejected.labels(pool)
    margin = timedelta(seconds=settings.stale_margin_seconds)
    sharing = Sharing(
        single_flight=settings.single_flight,
        cache=TokenCache(settings.reuse_max_tokens, margin, clock) if settings.reuse_tokens else None,
        serve_stale=settings.serve_stale,
    )
    return CognitoEngine(
        identity_pool_id,
        region.gateway,
        sharing,
        lasting_errors=region.lasting_errors,
        count_result=lambda source: answers[source].inc(),
        before_change=before_change,
        clock=clock,
    )


def _count_rejected(metrics: Metrics, identity_pool_id: str, change: int) -> None:
    metrics.cognito_credentials_rejected.labels(metrics.pool_label(identity_pool_id)).inc(change)
