import threading
from collections.abc import Callable

from joserfc.jwk import ECKey, RSAKey

from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.manager import KeyManager, PrivateKey
from tokend_server.model import Secret


class LazyKeys:
    """A `KeyManager` that is created when it is first used: some load libraries that most processes do not need.

    Args:
        create: Creates the actual manager.
    """

    def __init__(self, create: Callable[[], KeyManager]) -> None:
        self._create = create
        self._lock = threading.Lock()
        self._manager: KeyManager | None = None

    def manager(self) -> KeyManager:
        """Returns the actual manager.

        Raises:
            ConfigError: Its settings cannot be used.
        """
        with self._lock:
            if self._manager is None:
                self._manager = self._create()
            return self._manager

    def generate(self, algorithm: SigningAlgorithm, generation: int) -> tuple[RSAKey | ECKey, Secret]:
        return self.manager().generate(algorithm, generation)

    def open(self, key: SigningKey) -> PrivateKey:
        return self.manager().open(key)

    def discard(self, key: SigningKey, *, was_kept: bool) -> None:
        self.manager().discard(key, was_kept=was_kept)
