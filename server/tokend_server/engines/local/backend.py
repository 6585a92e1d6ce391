from collections.abc import Sequence

from tokend_server.engines.local.keyring import SigningAlgorithm
from tokend_server.engines.local.signer import TokenSigner
from tokend_server.engines.local.store import Store


class LocalBackend:
    """The `Backend` of all local pools: their store and their signing keys.

    Args:
        store: The store.
        signer: What signs; a check reads its keys again.
        algorithms: What the pools sign with.
    """

    def __init__(self, store: Store, signer: TokenSigner, algorithms: frozenset[SigningAlgorithm]) -> None:
        self._store = store
        self._signer = signer
        self._algorithms = sorted(algorithms, key=lambda each: each.value)

    def check(self) -> Sequence[str]:
        self._store.check()
        self._signer.refresh()
        for algorithm in self._algorithms:
            self._signer.check(algorithm)
        return ()
