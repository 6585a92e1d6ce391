"""The port to the store of the local engine: identities with their logins, pools and signing keys."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tokend_server.clock import Deadline
from tokend_server.engines.local.keys.store import FetchStore, KeyStore
from tokend_server.metrics import Metrics
from tokend_server.model import Identity, Login

#: The length of a `login_key`.
LOGIN_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one identity from the state that was read to a new one; `before` is None for a new identity."""

    before: Identity | None
    after: Identity


class Reading(NamedTuple):
    """A consistent snapshot of identities.

    Attributes:
        owners: The identities to which the requested logins are linked; logins without an identity are absent.
        named: The identity with the requested id; None if the pool has none, or no id was requested.
    """

    owners: Mapping[Login, Identity]
    named: Identity | None


class IdentityStore(Protocol):
    """Identities and the logins linked to them.

    The store itself enforces two guarantees, for any number of concurrent processes: a login of a pool is linked to at
    most one identity, and a change applies only to the identity as it was read. Logins are compared byte by byte.

    Any method may raise `EngineUnavailable`: methods with a deadline before it passes, others after a timeout of the
    store.
    """

    def owners(
        self, identity_pool_id: str, logins: Iterable[Login], deadline: Deadline | None = None
    ) -> Sequence[str | None]:
        """Returns the identity id of each login, in order and in one snapshot; None for logins without an identity."""
        ...

    def read(
        self,
        identity_pool_id: str,
        logins: Iterable[Login],
        identity_id: str | None = None,
        deadline: Deadline | None = None,
    ) -> Reading:
        """Returns the identities of the logins and of the id, with all their logins, in one snapshot.

        Separate reads would be inconsistent: decisions on them might not be serializable.
        """
        ...

    def find(self, identity_id: str, deadline: Deadline | None = None) -> Identity | None:
        """Returns the identity with this id in any pool; None if there is none."""
        ...

    def identities(
        self, identity_pool_id: str, *, max_results: int, after: str | None, hide_disabled: bool
    ) -> list[Identity]:
        """Returns up to `max_results` identities, ordered by id, starting after the id `after`."""
        ...

    def commit(self, *changes: Change, deadline: Deadline) -> None:
        """Applies all the changes durably, or none.

        Raises:
            StaleReading: An identity has changed since `before` was read, or a login has been linked since.
            DeadlineExceeded: The deadline passed before the start of the changes; none is applied.
            EngineUnavailable: The store did not answer. The changes may have been applied, which a read shows.
        """
        ...

    def delete(self, identity_id: str) -> bool:
        """Deletes an identity and its logins permanently; returns whether it existed."""
        ...


class DeveloperProviderStore(Protocol):
    """The developer provider of each pool, and the providers whose users a pool has.

    Any method may raise `EngineUnavailable`.
    """

    def developer_providers(self) -> Mapping[str, str]:
        """Returns the stored developer providers, by pool."""
        ...

    def keep_developer_providers(self, decide: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        """Stores a change of the developer providers atomically across processes.

        Args:
            decide: Returns the developer providers to add or replace from the stored ones. If it raises, nothing
                changes. A store without locks calls it again if other processes have changed them since.
        """
        ...

    def pools_with_identities(self) -> frozenset[str]:
        """Returns the pools that have identities; its duration grows with the number of identities."""
        ...

    def identity_count(self, identity_pool_id: str) -> int:
        """Returns the number of the pool's identities; its duration grows with this number."""
        ...

    def has_login_of(self, identity_pool_id: str, provider_name: str) -> bool:
        """Returns whether any identity of the pool has a login of the provider."""
        ...

    def provider_names(self, identity_pool_id: str) -> frozenset[str]:
        """Returns the providers of all logins of the pool; its duration grows with the number of logins."""
        ...


class KeptPool(NamedTuple):
    """A stored pool that is not in the configuration.

    Attributes:
        identity_pool_id: REGION:GUID.
        document: Its contents, opaque to the store.
        revision: The number of its changes, which detects a change based on an outdated read.
    """

    identity_pool_id: str
    document: bytes
    revision: int = 0


class PoolStore(Protocol):
    """The stored pools that are not in the configuration.

    Any method may raise `EngineUnavailable`.
    """

    def kept_pools(self) -> Sequence[KeptPool]:
        """Returns all stored pools, ordered by id."""
        ...

    def kept_pool(self, identity_pool_id: str, deadline: Deadline | None = None) -> KeptPool | None:
        """Returns the latest state of the pool with an id; None if there is none."""
        ...

    def keep_pool(self, before: KeptPool | None, identity_pool_id: str, document: bytes) -> None:
        """Stores a pool durably, replacing the state `before` that was read; None for a new pool.

        Raises:
            StaleReading: It has changed since it was read, or a new pool's id exists.
        """
        ...

    def forget_pool(self, kept: KeptPool) -> None:
        """Deletes a pool unless it has changed since it was read."""
        ...


class Store(IdentityStore, KeyStore, FetchStore, DeveloperProviderStore, PoolStore, Protocol):
    """An open store of the local engine.

    Each kind of store has a function `open_configured` that opens it; see `tokend_server.config.stores`.
    """

    def check(self) -> None:
        """Checks that identities and logins can be read now, at a cost that does not grow with their number.

        Raises:
            EngineUnavailable: They cannot.
        """
        ...

    def missing_migrations(self) -> Sequence[str]:
        """Returns the names of the migrations that this release needs and the schema lacks, oldest first.

        Raises:
            ConfigError: The schema is that of a newer release.
            EngineUnavailable: The store does not answer.
        """
        ...

    def migrate(self) -> Sequence[str]:
        """Applies the migrations that the schema lacks, and returns their names, oldest first.

        Raises:
            ConfigError: The schema is that of a newer release.
            EngineUnavailable: The store does not answer.
        """
        ...

    def start(self, metrics: Metrics) -> None:
        """Starts the store's background work in a running service; `close` stops it.

        Args:
            metrics: The metrics of this work.
        """
        ...

    def close(self) -> None:
        """Releases all resources of the store, such as connections."""
        ...


def login_key(identity_pool_id: str, login: Login) -> bytes:
    """Returns the 32-byte key of a login in a pool.

    Every database compares a digest byte by byte, whatever its collation, and its length does not depend on the
    identifier's. Each part is prefixed with its length, so that different logins have different inputs.
    """
    parts = [part.encode() for part in (identity_pool_id, login.provider_name, login.user_identifier.reveal())]
    return hashlib.sha256(b"".join([len(part).to_bytes(4) + part for part in parts])).digest()
