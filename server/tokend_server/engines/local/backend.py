from collections.abc import Callable, Sequence

from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.refresh import KeyRefresh
from tokend_server.engines.local.keys.signer import TokenSigner


class LocalBackend:
    """The `Backend` of all local pools: their store and their signing keys.

    Args:
        check_store: Makes sure that the store could be read now.
        key_refresh: What reads the keys of the store.
        signer: What signs with them.
        algorithms: What the pools sign with.
    """

    def __init__(
        self,
        check_store: Callable[[], None],
        key_refresh: KeyRefresh,
        signer: TokenSigner,
        algorithms: frozenset[SigningAlgorithm],
    ) -> None:
        self._check_store = check_store
        self._key_refresh = key_refresh
        self._signer = signer
        self._algorithms = sorted(algorithms, key=lambda each: each.value)

    def check(self) -> Sequence[str]:
        self._check_store()
        self._key_refresh.check()
        for algorithm in self._algorithms:
            self._signer.check(algorithm)
        return ()
