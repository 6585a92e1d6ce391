"""Chooses the engine of each pool: the only place that tells the kinds apart."""

from collections.abc import Callable, Container, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial

from tokend_server.clock import Clock, Deadline
from tokend_server.config import Config
from tokend_server.engine import (
    Backend,
    BeforeChange,
    Engine,
    FindEngine,
    Identities,
    IdentityPools,
    NewIdentity,
    PoolManagement,
    PublicEngine,
    unannounced,
)
from tokend_server.engines.configured_pools import ConfiguredPools
from tokend_server.engines.identities import IdentitiesOfPools
from tokend_server.engines.observed import ObservedEngine, Series
from tokend_server.engines.public import ObservedPublicEngine, PublicEngines
from tokend_server.metrics import Metrics
from tokend_server.model import KeySet, NoteFetch
from tokend_server.oidc.issuers import Issuers


@dataclass(frozen=True, slots=True)
class LocalKeys:
    """What verifiers need for local tokens.

    Attributes:
        key_set: The keys, as of now.
        publishes: Whether the key with an id is among them.
        algorithms: What tokens are signed with.
        note_fetch: Takes note of who has fetched the keys.
    """

    key_set: Callable[[], KeySet]
    publishes: Callable[[str | None], bool]
    algorithms: tuple[str, ...]
    note_fetch: NoteFetch


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines of all pools.

    Attributes:
        by_pool: The engines, by identity pool id.
        backends: What they share, by a name for operators.
        local_keys: The keys of the local pools; None when there are none.
        identities: The identities of all pools.
        public_engine: The engine of a pool for users' own devices; raises as `PublicEngines.of`.
        pools: The pools as Cognito's own API has them.
        pool_management: Makes pools beside those of the configuration; None where that is not wanted.
        find: Finds the engine of such a pool.
        start: Begins what the engines do beside calls, in threads of their own.
        close: Ends that, and gives up what the engines hold.
        is_published: Whether verifiers can have the key, by its pool and its id; of Cognito's keys nothing is known.
    """

    by_pool: Mapping[str, Engine]
    backends: Mapping[str, Backend]
    local_keys: LocalKeys | None
    identities: Identities
    public_engine: Callable[[str, Deadline], PublicEngine]
    pools: IdentityPools
    pool_management: PoolManagement | None
    find: FindEngine
    start: Callable[[], None]
    close: Callable[[], None]
    is_published: Callable[[str, str | None], bool]


def build_engines(  # noqa: PLR0913, PLR0917 - everything that engines are made of
    config: Config,
    issuer: str,
    metrics: Metrics,
    clock: Clock,
    new_identity: NewIdentity,
    before_change: BeforeChange = unannounced,
    issuers: Issuers | None = None,
) -> Engines:
    """Builds the engine of every pool.

    Args:
        config: The configuration.
        issuer: The `iss` of local tokens.
        metrics: Where engines are measured.
        clock: The time.
        new_identity: Asked before an identity is created.
        before_change: Called before each change.
        issuers: Makes the keys of login providers; by default, of these engines alone.

    Raises:
        ConfigError: An engine's means cannot be used as configured.
        EngineUnavailable: An engine's means do not answer.
    """
    by_pool: dict[str, Engine] = {}
    backends: dict[str, Backend] = {}
    local_keys = None
    local_identities: Identities | None = None
    public_by_pool: Mapping[str, PublicEngine] = {}
    start: Callable[[], None] = _nothing
    identity_pools: IdentityPools = (configured_pools := ConfiguredPools(config.pools))
    management: PoolManagement | None = None
    find: FindEngine = _none
    find_public: Callable[[str, Deadline], PublicEngine | None] = _none
    series = cache(partial(Series, metrics=metrics))

    def observed(kind: str, pool_id: str, engine: Engine) -> Engine:
        return ObservedEngine(engine, series(kind, metrics.pool_label(pool_id)), clock)

    def watched(pool_id: str, engine: PublicEngine) -> PublicEngine:
        return ObservedPublicEngine(engine, series("local", metrics.pool_label(pool_id)), clock)

    def both_observed(pool_id: str, engine: Engine, public: PublicEngine) -> tuple[Engine, PublicEngine]:
        return observed("local", pool_id, engine), watched(pool_id, public)

    with ExitStack() as undo:
        if pools := config.pools_of("local"):
            from tokend_server.engines.local.build import build_local_engines  # noqa: PLC0415 - only what is configured

            local = build_local_engines(
                config, pools, issuer, metrics, clock, new_identity, before_change, issuers, both_observed
            )
            undo.callback(local.close)
            start, local_identities, public_by_pool = local.start, local.identities, local.public_by_pool
            by_pool |= local.by_pool
            backends["local"] = local.backend
            algorithms = tuple(sorted(local.algorithms))
            local_keys = LocalKeys(local.signer.key_set, local.signer.publishes, algorithms, local.note_fetch)
            if local.managed_pools:
                from tokend_server.engines.pools import AllPools  # noqa: PLC0415 - as above

                find, find_public = local.managed_pools.engine, local.managed_pools.public_engine
                identity_pools = management = AllPools(configured_pools, local.managed_pools)
        if pools := config.pools_of("cognito"):
            from tokend_server.engines.cognito.build import build_cognito_engines  # noqa: PLC0415 - as above

            cognito = build_cognito_engines(config, pools, metrics, clock, before_change)
            undo.callback(cognito.close)
            by_pool |= cognito.by_pool
            backends |= {f"cognito {region}": backend for region, backend in cognito.by_region.items()}
        by_pool = {
            pool_id: observed(config.pools[pool_id].engine, pool_id, engine) for pool_id, engine in by_pool.items()
        }
        observed_public = {pool_id: watched(pool_id, engine) for pool_id, engine in public_by_pool.items()}
        public = PublicEngines(observed_public, config.pools_of("cognito"), find_public)
        is_published = partial(_is_published, config.pools_of("cognito"), local_keys)
        identities = IdentitiesOfPools(local_identities, config.pools_of("cognito"))
        return Engines(
            by_pool,
            backends,
            local_keys,
            identities,
            public.of,
            identity_pools,
            management,
            find,
            start,
            undo.pop_all().close,
            is_published,
        )


def _is_published(
    cognito_pools: Container[str], keys: LocalKeys | None, identity_pool_id: str, key_id: str | None
) -> bool:
    return keys is None or identity_pool_id in cognito_pools or keys.publishes(key_id)


def _none(_identity_pool_id: str, _deadline: Deadline) -> None:
    """Finds no engine."""


def _nothing() -> None:
    pass
