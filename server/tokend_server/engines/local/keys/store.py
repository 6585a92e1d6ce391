"""The port to where signing keys are kept."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.model import NumericDate, Secret


class KeyStore(Protocol):
    """Signing keys. Any method may raise `EngineUnavailable`."""

    def signing_keys(self) -> tuple[SigningKey, ...]:
        """All keys, oldest generation first."""
        ...

    def add_signing_key(self, key: SigningKey) -> None:
        """Keeps a new key durably.

        Raises:
            StaleReading: Another process added a key of the same algorithm and generation first.
        """
        ...

    def replace_material(self, key: SigningKey, material: Secret) -> None:
        """Keeps another `material` for a key, durably; nothing else of the key changes.

        The old one is then nowhere in what the store itself keeps, as far as its kind allows.

        Raises:
            StaleReading: The store has not that key, or not as it was read.
        """
        ...

    def replace_signs_from(self, key: SigningKey, signs_from: NumericDate) -> None:
        """Has a key sign from another time on, durably; nothing else of the key changes.

        Raises:
            StaleReading: The store has not that key, or it signs from another time than was read.
        """
        ...

    def remove_signing_key(self, kid: str, check: Callable[[Sequence[SigningKey]], None]) -> None:
        """Removes a key for good, unless `check` raises; no process changes any key between the two.

        Its `material` is then nowhere in what the store itself keeps, as far as its kind allows.

        Args:
            kid: The key.
            check: Is given all keys, oldest generation first; what it raises is raised, and nothing is removed. A store
                that cannot keep other processes waiting calls it again when keys have changed meanwhile.
        """
        ...


class FetchRecord(NamedTuple):
    """What one server has noted of those who fetch key sets from it.

    Attributes:
        server: The server's name for itself, for as long as it runs.
        noted_at: When it was noted, by the server's clock.
        document: What was noted.
    """

    server: str
    noted_at: NumericDate
    document: bytes


class FetchStore(Protocol):
    """What servers note of those who fetch key sets from them. Any method may raise `EngineUnavailable`."""

    def fetch_records(self) -> Sequence[FetchRecord]:
        """What all servers have noted, in the order of their names."""
        ...

    def keep_fetch_record(self, record: FetchRecord) -> None:
        """Keeps what a server has noted, durably, in the place of what it had noted before."""
        ...

    def forget_fetch_records(self, before: NumericDate) -> None:
        """Removes what was noted earlier than that."""
        ...
