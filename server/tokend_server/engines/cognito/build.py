"""Builds the Cognito engine's parts from the configuration."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError

from tokend_server.clock import Clock
from tokend_server.config import Cognito, Config, ConfigError, Pool
from tokend_server.engines.cognito.attempts import Attempts
from tokend_server.engines.cognito.client import cognito_client
from tokend_server.engines.cognito.credential_watch import CredentialWatch
from tokend_server.engines.cognito.engine import CognitoEngine, Sharing
from tokend_server.engines.cognito.gateway import CognitoGateway
from tokend_server.engines.cognito.quota import Quota
from tokend_server.engines.cognito.token_cache import TokenCache
from tokend_server.metrics import Metrics

#: The part of the threads that Cognito may hold while there are other pools, which must be served when it hangs.
_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class CognitoEngines:
    """The engines of all pools in Cognito, on one client for each region."""

    by_pool: Mapping[str, CognitoEngine]
    close: Callable[[], None]


class _Region(NamedTuple):
    gateway: CognitoGateway
    credentials: Credentials


def build_cognito_engines(config: Config, pools: Mapping[str, Pool], metrics: Metrics, clock: Clock) -> CognitoEngines:
    """Builds a client for each region and an engine for each pool; nothing is sent yet.

    Args:
        config: The configuration.
        pools: The pools of it that Cognito has.
        metrics: Where requests and answers are counted.
        clock: The time.

    Raises:
        ConfigError: The profile or the endpoint cannot be used.
    """
    regions = sorted({region_of(identity_pool_id) for identity_pool_id in pools})
    max_calls = config.cognito.max_calls or default_max_calls(
        config.grpc.threads, len(regions), alone=len(pools) == len(config.pools)
    )
    with ExitStack() as undo:
        gateways: dict[str, _Region] = {}
        for region in regions:
            gateways[region] = _region(config, region, max_calls, metrics, clock)
            undo.callback(gateways[region].gateway.close)
        by_pool = {
            identity_pool_id: _engine(
                identity_pool_id, gateways[region_of(identity_pool_id)], config.cognito, metrics, clock
            )
            for identity_pool_id in pools
        }
        return CognitoEngines(by_pool, undo.pop_all().close)


def region_of(identity_pool_id: str) -> str:
    """The region that a pool is in."""
    return identity_pool_id.partition(":")[0]


def default_max_calls(threads: int, regions: int, *, alone: bool) -> int:
    """How many calls may wait for a region, so that a region that hangs leaves threads to the others.

    Args:
        threads: The server's.
        regions: How many regions there are.
        alone: Whether there are no pools but Cognito's.
    """
    return threads if alone and regions == 1 else max(1, int(threads * _SHARE) // regions)


def _region(config: Config, region: str, max_calls: int, metrics: Metrics, clock: Clock) -> _Region:
    settings = config.cognito
    try:
        client, credentials = cognito_client(settings, region, connections=config.grpc.threads, clock=clock)
    except (BotoCoreError, ValueError) as error:
        raise ConfigError([f"cognito: {error}"]) from error
    quota = Quota(settings.requests_per_second, settings.burst, clock)
    Attempts(client, region, quota, max_attempts=settings.max_attempts, metrics=metrics, clock=clock)
    gateway = CognitoGateway(
        client, region, quota, max_calls=max_calls, timeout=settings.timeout_seconds, metrics=metrics, clock=clock
    )
    return _Region(gateway, credentials)


def _engine(identity_pool_id: str, region: _Region, settings: Cognito, metrics: Metrics, clock: Clock) -> CognitoEngine:
    answers = {
        source: metrics.cognito_answers.labels(identity_pool_id, source)
        for source in ("cognito", "shared", "reused", "stale")
    }
    rejected = metrics.cognito_credentials_rejected.labels(identity_pool_id)
    margin = timedelta(seconds=settings.stale_margin_seconds)
    sharing = Sharing(
        single_flight=settings.single_flight,
        cache=TokenCache(settings.reuse_max_tokens, margin, clock) if settings.reuse_tokens else None,
        serve_stale=settings.serve_stale,
    )
    return CognitoEngine(
        identity_pool_id,
        region.gateway,
        region.credentials,
        sharing,
        watch=CredentialWatch(clock, rejected.set),
        count_answer=lambda source: answers[source].inc(),
        clock=clock,
    )
