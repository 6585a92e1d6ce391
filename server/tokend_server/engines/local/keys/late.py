import threading
from collections.abc import Callable

from joserfc.jwk import ECKey, RSAKey

from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.manager import KeyManager, PrivateKey
from tokend_server.model import Secret


class LateKeys:
    """A `KeyManager` that is created when it is first used: some load libraries that most processes do not need.

    Args:
        begin: Creates the actual manager.
    """

    def __init__(self, begin: Callable[[], KeyManager]) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._begun: KeyManager | None = None

    def begun(self) -> KeyManager:
        """Returns the actual manager.

        Raises:
            ConfigError: Its settings cannot be used.
        """
        with self._lock:
            if self._begun is None:
                self._begun = self._begin()
            return self._begun

    def generate(self, algorithm: SigningAlgorithm, generation: int) -> tuple[RSAKey | ECKey, Secret]:
        return self.begun().generate(algorithm, generation)

    def open(self, key: SigningKey) -> PrivateKey:
        return self.begun().open(key)

    def discard(self, key: SigningKey, *, was_kept: bool) -> None:
        self.begun().discard(key, was_kept=was_kept)
