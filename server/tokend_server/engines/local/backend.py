from collections.abc import Callable, Iterator, Sequence

from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.refresh import problem_of
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.keys.task import KeyTask
from tokend_server.errors import TokendError


class LocalBackend:
    """The `Backend` of all local pools: their store and their signing keys.

    Args:
        check_store: Checks that the store can be read now.
        key_task: Reads and changes the keys in the store.
        signer: Signs with the keys.
        algorithms: The signing algorithms of the pools.
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
        return [
            *problems,
            *(problem for algorithm in self._algorithms for problem in self._upcoming_problems(algorithm)),
        ]

    def _upcoming_problems(self, algorithm: SigningAlgorithm) -> Iterator[str]:
        """Yields problems of the next key, so that an operator can act before it is used to sign."""
        for key, private_key in self._signer.upcoming(algorithm):
            try:
                private_key.check()
            except TokendError as error:
                yield f"keys: {key.kid}, which is the next {algorithm.value} key, could not sign: {problem_of(error)}"
