"""The port to where signing keys are kept."""

from collections.abc import Callable, Sequence
from typing import Protocol

from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.model import Secret


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

    def remove_signing_key(self, kid: str, check: Callable[[Sequence[SigningKey]], None]) -> None:
        """Removes a key for good, unless `check` raises; no process changes any key between the two.

        Its `material` is then nowhere in what the store itself keeps, as far as its kind allows.

        Args:
            kid: The key.
            check: Is given all keys, oldest generation first; what it raises is raised, and nothing is removed. A store
                that cannot keep other processes waiting calls it again when keys have changed meanwhile.
        """
        ...
