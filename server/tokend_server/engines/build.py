"""Chooses the engine of each pool: the only place that tells the kinds apart."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tokend_server.clock import Clock
from tokend_server.config import Config
from tokend_server.engine import Engine
from tokend_server.engines.observed import ObservedEngine
from tokend_server.metrics import Metrics
from tokend_server.model import KeySet


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines of all pools.

    Attributes:
        by_pool: The engines, by identity pool id.
        key_set: The keys that verify local tokens, as of now.
        algorithms: What local tokens are signed with.
        close: Gives up what the engines hold.
    """

    by_pool: Mapping[str, Engine]
    key_set: Callable[[], KeySet]
    algorithms: tuple[str, ...]
    close: Callable[[], None]


def build_engines(config: Config, issuer: str, metrics: Metrics, clock: Clock) -> Engines:
    """Builds the engine of every pool.

    Raises:
        ConfigError: An engine's means cannot be used as configured.
        EngineUnavailable: An engine's means do not answer.
    """
    from tokend_server.engines.local.build import build_local_engines  # noqa: PLC0415 - only what is configured

    local = build_local_engines(config, config.pools, issuer, metrics, clock)
    return Engines(
        by_pool={
            pool_id: ObservedEngine(engine, config.pools[pool_id].engine, pool_id, metrics, clock)
            for pool_id, engine in local.by_pool.items()
        },
        key_set=local.signer.key_set,
        algorithms=tuple(sorted({pool.signing_algorithm for pool in config.pools.values()})),
        close=local.store.close,
    )
