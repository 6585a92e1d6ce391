"""Builds the engine of each pool; the only module that distinguishes the kinds of engines."""

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
    do_nothing,
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
    """The public keys and algorithms of local tokens.

    Attributes:
        key_set: Returns the current keys.
        publishes: Returns whether the key with an id is published.
        algorithms: The signing algorithms of the pools.
        note_fetch: Records who has fetched the keys.
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
        backends: The resources that they share, by a name for operators.
        local_keys: The keys of the local pools; None if there are no local pools.
        identities: The identities of all pools.
        public_engine: Returns the engine of a pool for users' own devices; raises as `PublicEngines.of`.
        pools: The pools as Cognito's own API represents them.
        pool_management: Manages pools that are not in the configuration; None if that is not enabled.
        find: Finds the engine of a pool that is not in the configuration.
        start: Starts the engines' background threads.
        close: Stops these threads, and releases the engines' resources.
        is_published: Returns whether a key is published, by pool and key id; always true for Cognito's keys.
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


def build_engines(  # noqa: PLR0913, PLR0917 - all their parts
    config: Config,
    issuer: str,
    metrics: Metrics,
    clock: Clock,
    new_identity: NewIdentity,
    before_change: BeforeChange = do_nothing,
    issuers: Issuers | None = None,
) -> Engines:
    """Builds the engine of every pool.

    Args:
        config: The configuration.
        issuer: The `iss` of local tokens.
        metrics: The metrics of engines.
        clock: The clock.
        new_identity: Is entered while an identity is created, and counts it.
        before_change: Called before each change.
        issuers: Makes the keys of login providers; by default a new instance for these engines only.

    Raises:
        ConfigError: A store or another resource of an engine cannot be used as configured.
        EngineUnavailable: A store or another resource of an engine does not answer.
    """
    by_pool: dict[str, Engine] = {}
    backends: dict[str, Backend] = {}
    local_keys = None
    local_identities: Identities | None = None
    public_by_pool: Mapping[str, PublicEngine] = {}
    start: Callable[[], None] = do_nothing
    identity_pools: IdentityPools = (configured_pools := ConfiguredPools(config.pools))
    management: PoolManagement | None = None
    find: FindEngine = _no_engine
    find_public: Callable[[str, Deadline], PublicEngine | None] = _no_engine
    series = cache(partial(Series, metrics=metrics))

    def observed(kind: str, pool_id: str, engine: Engine) -> Engine:
        return ObservedEngine(engine, series(kind, metrics.pool_label(pool_id)), clock)

    def observed_local(pool_id: str, engine: Engine, public: PublicEngine) -> tuple[Engine, PublicEngine]:
        labels = series("local", metrics.pool_label(pool_id))
        return observed("local", pool_id, engine), ObservedPublicEngine(public, labels, clock)

    with ExitStack() as undo:
        if pools := config.pools_of("local"):
            from tokend_server.engines.local.build import build_local_engines  # noqa: PLC0415 - loaded only if it is configured

            local = build_local_engines(
                config, pools, issuer, metrics, clock, new_identity, before_change, issuers, observed_local
            )
            undo.callback(local.close)
            start, local_identities = local.start, local.identities
            by_pool |= {pool_id: engine for pool_id, (engine, _) in local.by_pool.items()}
            public_by_pool = {pool_id: public for pool_id, (_, public) in local.by_pool.items()}
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
            by_pool |= {pool_id: observed("cognito", pool_id, engine) for pool_id, engine in cognito.by_pool.items()}
            backends |= {f"cognito {region}": backend for region, backend in cognito.by_region.items()}
        public = PublicEngines(public_by_pool, config.pools_of("cognito"), find_public)
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


def _no_engine(_identity_pool_id: str, _deadline: Deadline) -> None:
    """Finds no engine."""
