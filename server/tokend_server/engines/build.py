"""Chooses the engine of each pool: the only place that tells the kinds apart."""

from collections.abc import Callable, Container, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial

from tokend_server.clock import Clock
from tokend_server.config import Config
from tokend_server.engine import (
    Backend,
    BeforeChange,
    Engine,
    Identities,
    IdentityPools,
    NewIdentity,
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
        public: The engines of users' own devices.
        pools: The pools as Cognito's own API has them.
        start: Begins what the engines do beside calls, in threads of their own.
        close: Ends that, and gives up what the engines hold.
        is_published: Whether verifiers can have the key, by its pool and its id; of Cognito's keys nothing is known.
    """

    by_pool: Mapping[str, Engine]
    backends: Mapping[str, Backend]
    local_keys: LocalKeys | None
    identities: Identities
    public: PublicEngines
    pools: IdentityPools
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
    with ExitStack() as undo:
        if pools := config.pools_of("local"):
            from tokend_server.engines.local.build import build_local_engines  # noqa: PLC0415 - only what is configured

            local = build_local_engines(config, pools, issuer, metrics, clock, new_identity, before_change, issuers)
            undo.callback(local.close)
            start, local_identities, public_by_pool = local.start, local.identities, local.public_by_pool
            by_pool |= local.by_pool
            backends["local"] = local.backend
            algorithms = tuple(sorted({pool.signing_algorithm for pool in pools.values()}))
            local_keys = LocalKeys(local.signer.key_set, local.signer.publishes, algorithms, local.note_fetch)
        if pools := config.pools_of("cognito"):
            from tokend_server.engines.cognito.build import build_cognito_engines  # noqa: PLC0415 - as above

            cognito = build_cognito_engines(config, pools, metrics, clock, before_change)
            undo.callback(cognito.close)
            by_pool |= cognito.by_pool
            backends |= {f"cognito {region}": backend for region, backend in cognito.by_region.items()}
        series = cache(partial(Series, metrics=metrics))
        observed = {
            pool_id: ObservedEngine(engine, series(config.pools[pool_id].engine, metrics.pool_label(pool_id)), clock)
            for pool_id, engine in by_pool.items()
        }
        observed_public = {
            pool_id: ObservedPublicEngine(engine, series("local", metrics.pool_label(pool_id)), clock)
            for pool_id, engine in public_by_pool.items()
        }
        public = PublicEngines(observed_public, config.pools_of("cognito"))
        is_published = partial(_is_published, config.pools_of("local"), local_keys)
        identities = IdentitiesOfPools(local_identities, config.pools_of("cognito"))
        identity_pools = ConfiguredPools(config.pools)
        close = undo.pop_all().close
        return Engines(observed, backends, local_keys, identities, public, identity_pools, start, close, is_published)


def _is_published(
    local_pools: Container[str], keys: LocalKeys | None, identity_pool_id: str, key_id: str | None
) -> bool:
    return keys is None or identity_pool_id not in local_pools or keys.publishes(key_id)


def _nothing() -> None:
    pass
