"""The metrics of signing keys."""

from collections.abc import Iterable
from functools import partial

from tokend_server.clock import Clock
from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.keyring import KeyState, SigningAlgorithm, key_state
from tokend_server.engines.local.keys.plan import Action, next_rotation
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.keys.verifier_watch import ACTIVATE, NOTE
from tokend_server.metrics import Metrics


def watch_keys(
    signer: TokenSigner, algorithms: Iterable[SigningAlgorithm], times: KeyTimes, metrics: Metrics, clock: Clock
) -> None:
    """Sets up the metrics of keys of these algorithms, and of their failures."""

    def rotation(algorithm: SigningAlgorithm) -> float:
        return next_rotation(signer.keys, algorithm, times, clock.now())

    def count(algorithm: SigningAlgorithm, state: KeyState) -> int:
        keys, now = signer.keys, clock.now()
        return sum(key.algorithm is algorithm and key_state(key, keys, now) is state for key in keys)

    for algorithm in algorithms:
        counts = {state.value: partial(count, algorithm, state) for state in KeyState}
        metrics.watch_signing_keys(
            algorithm.value, partial(signer.key_age, algorithm), partial(rotation, algorithm), counts
        )
    for step in ("read", Action.ADD.value, Action.REMOVE.value, NOTE, ACTIVATE):
        metrics.signing_key_failures.labels(step)
