"""The pools that are managed through Cognito's own API, in the store that all replicas share.

Each operation on a pool reads it from the store. Calls about its users use a pool that was read up to `STALENESS`
seconds ago; an unknown pool is read at once.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from tokend_server.clock import Clock, Deadline
from tokend_server.engine import Engine, PublicEngine
from tokend_server.engines.local.kept_pools import document_of, document_of_deleted, pool_of
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import KeptPool, PoolStore
from tokend_server.errors import EngineUnavailable, LimitExceeded, ResourceNotFound
from tokend_server.model import IdentityPool

#: Seconds after which calls about a pool's users observe its change or deletion at the latest.
STALENESS = 5.0

#: The maximum number of pools (service quota of Cognito: identity pools for an account).
MAX_POOLS = 1000

#: The maximum number of attempts of a change that conflicts with other changes.
_MAX_ATTEMPTS = 20


#: The engines of a pool: for backends, and for users' own devices.
EnginesOfPool: TypeAlias = tuple[Engine, PublicEngine]


class _Cached(NamedTuple):
    kept: KeptPool
    engines: EnginesOfPool
    until: float


class ManagedPools:
    """The pools, and their engines.

    Args:
        store: The store of pools.
        clock: The clock.
        new_guid: Generates the GUID of a new pool's id.
        engines_of: Makes the engines of a pool.
    """

    def __init__(
        self,
        store: PoolStore,
        clock: Clock,
        new_guid: Callable[[], str],
        engines_of: Callable[[IdentityPool], EnginesOfPool],
    ) -> None:
        self._store = store
        self._clock = clock
        self._new_guid = new_guid
        self._engines_of = engines_of
        self._cached: dict[str, _Cached] = {}

    def engine(self, identity_pool_id: str, deadline: Deadline | None = None) -> Engine | None:
        """Returns the engine of a pool; None if there is no such pool."""
        engines = self._engines(identity_pool_id, deadline)
        return engines[0] if engines else None

    def public_engine(self, identity_pool_id: str, deadline: Deadline | None = None) -> PublicEngine | None:
        """Returns the engine of a pool for users' own devices; None if there is no such pool."""
        engines = self._engines(identity_pool_id, deadline)
        return engines[1] if engines else None

    def find(self, identity_pool_id: str, deadline: Deadline) -> IdentityPool | None:
        """Returns the pool with an id; None if there is none."""
        return pool_of(self._store.kept_pool(identity_pool_id, deadline))

    def all(self) -> Iterator[IdentityPool]:
        """Yields all pools, ordered by id."""
        return filter(None, map(pool_of, self._store.kept_pools()))

    def create(self, region: str, settings: Mapping[str, Any], tags: Mapping[str, str]) -> IdentityPool:
        """Creates a pool in a Region, with a new id.

        Raises:
            LimitExceeded: The maximum number of pools exists already.
        """
        if sum(1 for _ in self.all()) >= MAX_POOLS:
            raise LimitExceeded(f"There are already {MAX_POOLS} identity pools, the maximum.", subject=region)
        pool = IdentityPool(f"{region}:{self._new_guid()}", settings, tags)
        self._store.keep_pool(None, pool.identity_pool_id, document_of(pool))
        return pool

    def change(
        self, identity_pool_id: str, decide: Callable[[IdentityPool], IdentityPool], deadline: Deadline
    ) -> IdentityPool:
        """Changes a pool atomically, even while others change it.

        Args:
            identity_pool_id: The pool.
            decide: Returns the new state of the pool from its current state. If it raises, nothing changes.
            deadline: The caller's deadline.

        Raises:
            ResourceNotFound: There is no such pool.
        """

        def changed(pool: IdentityPool) -> tuple[bytes, IdentityPool]:
            after = decide(pool)
            return document_of(after), after

        return self._replaced(identity_pool_id, changed, deadline)

    def delete(self, identity_pool_id: str, deadline: Deadline) -> None:
        """Deletes a pool permanently. Its identities are inaccessible at once, and removed later.

        Raises:
            ResourceNotFound: There is no such pool.
        """
        now = int(self._clock.now())
        self._replaced(identity_pool_id, lambda pool: (document_of_deleted(now), pool), deadline)

    def _engines(self, identity_pool_id: str, deadline: Deadline | None = None) -> EnginesOfPool | None:
        cached = self._cached.get(identity_pool_id)
        if cached and self._clock.monotonic() < cached.until:
            return cached.engines
        kept = self._store.kept_pool(identity_pool_id, deadline)
        pool = pool_of(kept)
        if kept is None or pool is None:
            self._cached.pop(identity_pool_id, None)
            return None
        engines = cached.engines if cached and cached.kept == kept else self._engines_of(pool)
        if len(self._cached) >= MAX_POOLS:  # this includes deleted pools that no call has used since
            self._cached.clear()
        self._cached[identity_pool_id] = _Cached(kept, engines, self._clock.monotonic() + STALENESS)
        return engines

    def _replaced(
        self,
        identity_pool_id: str,
        decide: Callable[[IdentityPool], tuple[bytes, IdentityPool]],
        deadline: Deadline,
    ) -> IdentityPool:
        for _ in range(_MAX_ATTEMPTS):
            deadline.check()
            kept = self._store.kept_pool(identity_pool_id, deadline)
            pool = pool_of(kept)
            if pool is None:
                raise ResourceNotFound.identity_pool(identity_pool_id)
            document, after = decide(pool)
            try:
                self._store.keep_pool(kept, identity_pool_id, document)
            except StaleReading:
                continue
            finally:  # a failed change may have been made
                self._cached.pop(identity_pool_id, None)
            return after
        raise EngineUnavailable("The identity pool is being changed by too many calls at once.")


class ServedPools:
    """The ids of the pools that are served.

    Args:
        configured: The pools of the configuration.
        managed: The managed pools.
    """

    def __init__(self, configured: Container[str], managed: ManagedPools | None) -> None:
        self._configured = configured
        self._managed = managed

    def __contains__(self, identity_pool_id: object) -> bool:
        if identity_pool_id in self._configured:
            return True
        return bool(self._managed and self._managed.engine(str(identity_pool_id)))
