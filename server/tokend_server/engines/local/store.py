"""The port to what the local engine keeps: identities with their logins, and signing keys."""

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
    """One identity as it was read and as it is to be; `before` is None for an identity that is to be created."""

    before: Identity | None
    after: Identity


class Reading(NamedTuple):
    """Identities as they stood at one moment.

    Attributes:
        owners: The identities that the logins asked for are linked to; logins that are linked to none are absent.
        named: The identity of the id asked for; None when the pool has none of that id, or none was asked for.
    """

    owners: Mapping[Login, Identity]
    named: Identity | None


class IdentityStore(Protocol):
    """Identities and the logins linked to them.

    The store keeps two promises by itself, against any number of concurrent processes: a login of a pool is linked to
    one identity at most, and a change applies only to the identity as it was read. Logins are compared byte by byte.
    Any method may raise `EngineUnavailable`; one that has a deadline does so before that is spent, and one that has
    none after a time that the store bounds by itself.
    """

    def owners(
        self, identity_pool_id: str, logins: Iterable[Login], deadline: Deadline | None = None
    ) -> Sequence[str | None]:
        """The identity id that each of the logins is linked to at one moment, in their order; None for none."""
        ...

    def read(
        self,
        identity_pool_id: str,
        logins: Iterable[Login],
        identity_id: str | None = None,
        deadline: Deadline | None = None,
    ) -> Reading:
        """The identities of the logins and the one of the id, all with all their logins and as of one moment.

        What was read apart would not belong together: a decision on it could be one that no order of the calls allows.
        """
        ...

    def find(self, identity_id: str, deadline: Deadline | None = None) -> Identity | None:
        """The identity of the id, whatever its pool; None when there is none."""
        ...

    def identities(
        self, identity_pool_id: str, *, max_results: int, after: str | None, hide_disabled: bool
    ) -> list[Identity]:
        """Up to `max_results` identities in order of their ids, from the first one behind `after`."""
        ...

    def commit(self, *changes: Change, deadline: Deadline) -> None:
        """Applies all the changes durably, or none.

        Raises:
            StaleReading: An identity changed since `before` was read, or a login got linked meanwhile.
            DeadlineExceeded: The deadline was spent before the changes could begin; none is applied.
            EngineUnavailable: The store did not answer. The changes may have been applied: whoever reads again knows.
        """
        ...

    def delete(self, identity_id: str) -> bool:
        """Removes an identity and its logins for good; tells whether there was one."""
        ...


class DeveloperProviderStore(Protocol):
    """The developer provider of each pool, and the providers whose users a pool has.

    Any method may raise `EngineUnavailable`.
    """

    def developer_providers(self) -> Mapping[str, str]:
        """The developer providers of pools, as they were last kept."""
        ...

    def keep_developer_providers(self, decide: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        """Keeps what is decided on what is kept; no other process keeps any meanwhile.

        Args:
            decide: The developer providers of pools that are to be added or replaced; what it raises changes nothing. A
                store that cannot keep other processes waiting calls it again when others were kept meanwhile.
        """
        ...

    def pools_with_identities(self) -> frozenset[str]:
        """The pools that have any identity; it takes as long as there are identities."""
        ...

    def identity_count(self, identity_pool_id: str) -> int:
        """How many identities the pool has; it takes as long as there are identities."""
        ...

    def has_login_of(self, identity_pool_id: str, provider_name: str) -> bool:
        """Whether any identity of the pool has a login of the provider."""
        ...

    def provider_names(self, identity_pool_id: str) -> frozenset[str]:
        """The providers of all logins of the pool; it takes as long as there are logins."""
        ...


class KeptPool(NamedTuple):
    """A pool that is kept beside those of the configuration.

    Attributes:
        identity_pool_id: REGION:GUID.
        document: What is kept of it; a store reads nothing in it.
        revision: Counts its changes, so that a change based on an older reading is noticed.
    """

    identity_pool_id: str
    document: bytes
    revision: int = 0


class PoolStore(Protocol):
    """The pools that are kept beside those of the configuration.

    Any method may raise `EngineUnavailable`.
    """

    def kept_pools(self) -> Sequence[KeptPool]:
        """All of them, in order of their ids."""
        ...

    def kept_pool(self, identity_pool_id: str, deadline: Deadline | None = None) -> KeptPool | None:
        """The one of an id, as the last change has left it."""
        ...

    def keep_pool(self, before: KeptPool | None, identity_pool_id: str, document: bytes) -> None:
        """Keeps a pool durably, in the place of what was read before; None: of nothing.

        Raises:
            StaleReading: It has changed since it was read, or there is one of the id.
        """
        ...

    def forget_pool(self, kept: KeptPool) -> None:
        """Removes a pool unless it has changed since it was read."""
        ...


class Store(IdentityStore, KeyStore, FetchStore, DeveloperProviderStore, PoolStore, Protocol):
    """All that the local engine keeps, in one place that is open.

    A kind of store has a function `open_configured` that opens it: `tokend_server.config.stores`.
    """

    def check(self) -> None:
        """Makes sure that identities and logins could be read now, at a cost that does not grow with their number.

        Raises:
            EngineUnavailable: They could not.
        """
        ...

    def missing_migrations(self) -> Sequence[str]:
        """The names of the changes that this release needs and the schema lacks, oldest first.

        Raises:
            ConfigError: The schema is that of a newer release.
            EngineUnavailable: The store does not answer.
        """
        ...

    def migrate(self) -> Sequence[str]:
        """Makes the changes that the schema lacks, and returns their names, oldest first.

        Raises:
            ConfigError: The schema is that of a newer release.
            EngineUnavailable: The store does not answer.
        """
        ...

    def start(self, metrics: Metrics) -> None:
        """Begins what the store does by itself while a service runs; `close` ends it.

        Args:
            metrics: Where that is measured.
        """
        ...

    def close(self) -> None:
        """Gives up all that the store holds, such as connections."""
        ...


def login_key(identity_pool_id: str, login: Login) -> bytes:
    """The 32 bytes that stand for one login of one pool.

    A digest is compared byte by byte in every database, whatever its collation, and is short whatever the length of
    the identifier. Each part is prefixed by its length, so that no two different logins make the same input.
    """
    parts = [part.encode() for part in (identity_pool_id, login.provider_name, login.user_identifier.reveal())]
    return hashlib.sha256(b"".join([len(part).to_bytes(4) + part for part in parts])).digest()
