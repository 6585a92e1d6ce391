"""The port to where signing keys are kept."""

from collections.abc import Callable, Sequence
from typing import Protocol

from tokend_server.engines.local.keys.keyring import SigningKey


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

    def remove_signing_key(self, kid: str, check: Callable[[Sequence[SigningKey]], None]) -> None:
        """Removes a key for good, unless `check` raises; no process changes any key between the two.

        Args:
            kid: The key.
            check: Is given all keys, oldest generation first; what it raises is raised, and nothing is removed. A store
                that cannot keep other processes waiting calls it again when keys have changed meanwhile.
        """
        ...
