"""Builds the local engine's parts from the configuration."""

import socket
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial

from tokend_server.clock import Clock
from tokend_server.config import Config, Pool
from tokend_server.config.aws import ALGORITHM_OF_MANAGED_POOLS
from tokend_server.engine import BeforeChange, Engine, NewIdentity, PublicEngine, do_nothing
from tokend_server.engines.local.backend import LocalBackend
from tokend_server.engines.local.claims import REGIONS_WITHOUT_IDENTITY_POOL_ARN
from tokend_server.engines.local.deleted_pools import INTERVAL, remove_deleted_pools
from tokend_server.engines.local.developer_providers import keep_developer_providers
from tokend_server.engines.local.engine import LocalEngine
from tokend_server.engines.local.identities import LocalIdentities
from tokend_server.engines.local.keys.build import open_key_manager, warn_of_clear_keys
from tokend_server.engines.local.keys.fetch_log import FetchLog
from tokend_server.engines.local.keys.jws import TokenType
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.refresh import KeyRefresh
from tokend_server.engines.local.keys.rotation import KeyRotation
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.keys.task import KeyTask
from tokend_server.engines.local.keys.verifier_watch import VerifierWatch, server_name
from tokend_server.engines.local.keys.watching import watch_keys
from tokend_server.engines.local.managed_pool import managed_pool
from tokend_server.engines.local.managed_pools import EnginesOfPool, ManagedPools, ServedPools
from tokend_server.engines.local.own_tokens import OwnTokens
from tokend_server.engines.local.pool import LocalPool
from tokend_server.engines.local.providers import OpenIdConnectProvider, open_id_connect_provider
from tokend_server.engines.local.public_identities import PublicIdentities
from tokend_server.engines.local.stores.observed import ObservedStore
from tokend_server.engines.local.stores.opening import open_migrated_store
from tokend_server.metrics import Metrics
from tokend_server.model import NoteFetch, pool_region
from tokend_server.oidc.issuers import Issuers
from tokend_server.oidc.outbound import IssuerHttp
from tokend_server.process.repeating import Repeating


@dataclass(frozen=True, slots=True)
class LocalEngines:
    """The local engines of all local pools, on one store and one set of keys.

    `note_fetch` records who has fetched a key set. `start` starts the background threads; `close` stops them, and
    releases the engines' resources.
    """

    by_pool: Mapping[str, EnginesOfPool]
    managed_pools: ManagedPools | None
    algorithms: frozenset[str]
    identities: LocalIdentities
    backend: LocalBackend
    signer: TokenSigner
    note_fetch: NoteFetch
    start: Callable[[], None]
    close: Callable[[], None]


def build_local_engines(  # noqa: PLR0913, PLR0917 - all its parts
    config: Config,
    pools: Mapping[str, Pool],
    issuer: str,
    metrics: Metrics,
    clock: Clock,
    new_identity: NewIdentity,
    before_change: BeforeChange = do_nothing,
    issuers: Issuers | None = None,
    observed: Callable[[str, Engine, PublicEngine], EnginesOfPool] = lambda _pool, *engines: engines,
) -> LocalEngines:
    """Opens the store, loads or creates the keys, and builds an engine for each pool.

    Args:
        config: The configuration.
        pools: Its local pools.
        issuer: The `iss` of their tokens.
        metrics: The metrics of the store.
        clock: The clock.
        new_identity: Is entered while an identity is created, and counts it.
        before_change: Called before each change.
        issuers: Makes the keys of login providers; by default a new instance for these engines only.
        observed: Wraps the engines of a pool, to measure them.

    Raises:
        ConfigError: The store cannot be used.
        EngineUnavailable: The store does not answer.
    """
    build_provider = partial(
        open_id_connect_provider,
        own_issuer=issuer,
        http=IssuerHttp(),
        clock=clock,
        issuers=issuers or Issuers(clock, config.grpc.threads),
    )
    local_pools = [_local_pool(pool_id, pool, issuer, build_provider) for pool_id, pool in pools.items()]
    algorithms = frozenset(pool.signing_algorithm for pool in local_pools)
    if config.aws.manage_pools:
        algorithms |= {SigningAlgorithm(ALGORITHM_OF_MANAGED_POOLS)}
    with ExitStack() as undo:
        opened = undo.enter_context(closing(open_migrated_store(config)))
        keep_developer_providers(opened, pools)
        store = ObservedStore(opened, metrics, clock, before_change)
        manager, times = undo.enter_context(open_key_manager(config, metrics, clock)), config.keys.times
        signer = TokenSigner(store, manager, clock, times)
        failures = metrics.signing_key_failures

        def failed(step: str) -> None:
            failures.labels(step).inc()

        fetches = FetchLog(clock, metrics.verifiers_uncounted.inc)
        name = server_name(socket.gethostname(), new_guid())
        watch = VerifierWatch(name, fetches, signer, store, algorithms, clock, times, failed)
        watch.register()
        signer.ensure_keys(algorithms)
        warn_of_clear_keys(config, signer.keys)
        refresh = KeyRefresh(signer, failures.labels("read").inc)
        rotation = KeyRotation(store, manager, clock, times)
        key_task = KeyTask(signer, refresh, rotation, watch, algorithms, clock, times, failed)
        undo.callback(key_task.stop)
        removal = Repeating(partial(remove_deleted_pools, opened, clock), INTERVAL, "deleted-pools")
        undo.callback(removal.stop)
        close = undo.pop_all().close
    metrics.set_store_kind(config.store_kind)
    watch_keys(signer, algorithms, times, metrics, clock)
    metrics.watch_verifiers(fetches.__len__, lambda: watch.behind)
    own_tokens = OwnTokens(signer.key_set, issuer, clock)

    def engines_of(pool: LocalPool) -> EnginesOfPool:
        return observed(
            pool.identity_pool_id,
            LocalEngine(pool, store, signer, clock, new_guid, new_identity),
            PublicIdentities(pool, store, signer, own_tokens, clock, new_guid, new_identity),
        )

    by_pool = {pool.identity_pool_id: engines_of(pool) for pool in local_pools}
    managed_pools = None
    if config.aws.manage_pools:
        managed_pools = ManagedPools(
            store, clock, new_guid, lambda pool: engines_of(managed_pool(pool, config.aws, issuer, build_provider))
        )
    backend = LocalBackend(store.check, key_task, signer, algorithms)

    def start() -> None:
        opened.start(metrics)
        key_task.start()
        if managed_pools:
            removal.start()

    return LocalEngines(
        by_pool,
        managed_pools,
        algorithms,
        LocalIdentities(store, ServedPools(by_pool, managed_pools)),
        backend,
        signer,
        fetches.note,
        start,
        close,
    )


def _local_pool(
    identity_pool_id: str, pool: Pool, issuer: str, build_provider: Callable[..., OpenIdConnectProvider]
) -> LocalPool:
    region = pool_region(identity_pool_id)
    with_arn = pool.identity_pool_arn_claim
    return LocalPool(
        identity_pool_id=identity_pool_id,
        developer_provider_name=pool.developer_provider_name,
        login_providers={
            name: build_provider(name, tuple(provider.client_ids), provider.issuer, skew=provider.clock_skew_seconds)
            for name, provider in pool.open_id_connect_providers.items()
        },
        signing_algorithm=SigningAlgorithm(pool.signing_algorithm),
        token_type=TokenType(pool.token_type),
        account_id=pool.account_id,
        identity_pool_arn_claim=region not in REGIONS_WITHOUT_IDENTITY_POOL_ARN if with_arn is None else with_arn,
        issuer=issuer,
        allow_unauthenticated_identities=pool.allow_unauthenticated_identities,
        allow_classic_flow=pool.allow_classic_flow,
    )


def new_guid() -> str:
    """Returns the GUID of a new identity id: a random UUID."""
    return str(uuid.uuid4())
