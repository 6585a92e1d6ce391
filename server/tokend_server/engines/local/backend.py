from collections.abc import Callable, Sequence

from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.keys.task import KeyTask


class LocalBackend:
    """The `Backend` of all local pools: their store and their signing keys.

    Args:
        check_store: Makes sure that the store could be read now.
        key_task: What reads the keys of the store, and changes them.
        signer: What signs with them.
        algorithms: What the pools sign with.
    """

    def __init__(
        self,
        check_store: Callable[[], None],
        key_task: KeyTask,
        signer: TokenSigner,
        algorithms: frozenset[SigningAlgorithm],
    ) -> None:
        self._check_store = check_store
        self._key_task = key_task
        self._signer = signer
        self._algorithms = sorted(algorithms, key=lambda each: each.value)

    def check(self) -> Sequence[str]:
        self._check_store()
        problems = self._key_task.check()
        for algorithm in self._algorithms:
            self._signer.check(algorithm)
        return problems
