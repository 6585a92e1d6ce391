"""The port to the store of signing keys."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.model import NumericDate, Secret


class KeyStore(Protocol):
    """Signing keys. Any method may raise `EngineUnavailable`."""

    def signing_keys(self) -> tuple[SigningKey, ...]:
        """Returns all keys, oldest generation first."""
        ...

    def add_signing_key(self, key: SigningKey) -> None:
        """Stores a new key durably.

        Raises:
            StaleReading: Another process added a key of the same algorithm and generation first.
        """
        ...

    def replace_material(self, key: SigningKey, material: Secret) -> None:
        """Replaces the `material` of a key durably; nothing else of the key changes.

        The old `material` is erased from the store, as far as its kind allows.

        Raises:
            StaleReading: The store does not have the key, or it has changed since it was read.
        """
        ...

    def replace_signs_from(self, key: SigningKey, signs_from: NumericDate) -> None:
        """Changes the time from which a key signs durably; nothing else of the key changes.

        Raises:
            StaleReading: The store does not have the key, or its time has changed since it was read.
        """
        ...

    def remove_signing_key(self, kid: str, check: Callable[[Sequence[SigningKey]], None]) -> None:
        """Removes a key permanently, unless `check` raises; no process changes a key between the two.

        Its `material` is erased from the store, as far as its kind allows.

        Args:
            kid: The key.
            check: Takes all keys, oldest generation first; its error is raised, and nothing is removed. A store without
                locks calls it again if keys have changed since.
        """
        ...


class FetchRecord(NamedTuple):
    """A server's notes about the verifiers that fetch key sets from it.

    Attributes:
        server: The name of the server while it runs.
        noted_at: The time of the notes by the server's clock.
        document: The notes.
    """

    server: str
    noted_at: NumericDate
    document: bytes


class FetchStore(Protocol):
    """The store of servers' notes about verifiers. Any method may raise `EngineUnavailable`."""

    def fetch_records(self) -> Sequence[FetchRecord]:
        """Returns the notes of all servers, ordered by name."""
        ...

    def keep_fetch_record(self, record: FetchRecord) -> None:
        """Stores the notes of a server durably, in place of its earlier notes."""
        ...

    def forget_fetch_records(self, before: NumericDate) -> None:
        """Removes the notes from before a time."""
        ...
