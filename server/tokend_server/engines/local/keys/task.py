"""What a process that serves does about keys by itself: it follows those of the store, and changes them in time."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tokend_server.clock import Clock
from tokend_server.config import KeyTimes
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.plan import Action, Step, plan
from tokend_server.engines.local.keys.refresh import KeyRefresh, log_problem, problem_of
from tokend_server.engines.local.keys.rotation import KeyInUse, KeyNotFound, KeyRotation
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.keys.verifier_watch import VerifierWatch
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.process.repeating import Repeating

_log = logging.getLogger(__name__)

#: Seconds between two attempts at a step that fails, the first and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0

#: Seconds for which a clock that is behind all keys is taken for one that is yet to be set.
_UNSET_FOR = 3600.0

#: The steps that a process takes, as operators know them. A key begins to sign by itself.
_TAKEN: Mapping[Action, str] = {Action.ADD: "adding the next key", Action.REMOVE: "removing an expired key"}


class _Taken(NamedTuple):
    """What tells one step from another, whenever it is planned."""

    algorithm: SigningAlgorithm
    action: Action
    generation: int


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a step was not taken, and when it is tried again by the monotonic clock, how long after the last attempt."""

    text: str
    not_before: float
    pause: float


class KeyTask:
    """A thread that reads the signing keys again and again, and takes the steps of their plan that are due.

    Each process that serves has one, and the store takes the first that comes with a step.

    Args:
        signer: What signs with the keys.
        refresh: Reads them.
        rotation: Changes them.
        watch: What is done about verifiers after each reading.
        algorithms: What pools sign with; the keys of others are removed in time, and not followed by new ones.
        clock: The time.
        times: The times of keys.
        failed: Called with the action of each step that fails.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it reads, what it changes, and by which times
        self,
        signer: TokenSigner,
        refresh: KeyRefresh,
        rotation: KeyRotation,
        watch: VerifierWatch,
        algorithms: frozenset[SigningAlgorithm],
        clock: Clock,
        times: KeyTimes,
        failed: Callable[[str], None],
    ) -> None:
        self._signer = signer
        self._refresh = refresh
        self._rotation = rotation
        self._watch = watch
        self._algorithms = algorithms
        self._clock = clock
        self._times = times
        self._failed = failed
        self._failures: Mapping[_Taken, _Failure] = {}
        self._behind_since: float | None = None
        self._acts = Repeating(self.act, times.refresh, "signing keys")

    def start(self) -> None:
        """Begins; the first reading is due after an interval."""
        self._acts.start()

    def stop(self) -> None:
        """Ends the thread, after what it is at."""
        self._acts.stop()
        self._watch.stop()

    def act(self) -> None:
        """Reads the keys, and takes the steps that are due, unless there are keys that this process cannot use."""
        complete = self._refresh.refresh()
        hastened = self._watch.act(may_change=complete)
        if not complete:
            return
        self._rotation.discard_overtaken(self._signer.keys)
        due = {_Taken(step.algorithm, step.action, step.generation): step for step in self._due()}
        self._failures = {taken: failure for taken, failure in self._failures.items() if taken in due}
        now = self._clock.monotonic()
        waiting = {taken for taken, failure in self._failures.items() if failure.not_before > now}
        changes = [self._take(taken, step) for taken, step in due.items() if taken not in waiting]
        if hastened or any(changes):
            self._refresh.refresh()

    def check(self) -> Sequence[str]:
        """Makes sure that the last reading went well.

        Returns:
            The steps that fail, and what shows that clocks differ too much.

        Raises:
            EngineUnavailable: The store did not answer, or a key could not be opened.
        """
        self._refresh.check()
        steps = [
            f"keys: {taken.algorithm.value}: {_TAKEN[taken.action]} fails: {failure.text}"
            for taken, failure in self._failures.items()
        ]
        return [*steps, *self._differences_of_clocks()]

    def _differences_of_clocks(self) -> Iterator[str]:
        ahead = max((key.creation_date for key in self._signer.keys), default=0) - self._clock.now()
        if ahead > self._times.clock_skew:
            yield (
                f"keys: one was made {ahead:.0f} s from now by this server's clock: clocks that differ by more than "
                f"{self._times.clock_skew} s have keys change too early or too late"
            )

    def _due(self) -> Iterator[Step]:
        now = self._clock.now()
        taken = _TAKEN.keys() - ({Action.ADD} if self._may_be_unset(now) else set())
        for algorithm in SigningAlgorithm:
            steps = plan(self._signer.keys, algorithm, self._times, now, in_use=algorithm in self._algorithms)
            yield from (step for step in steps if step.at <= now and step.action in taken)

    def _may_be_unset(self, now: float) -> bool:
        """Whether the clock may be yet to be set, as when a machine starts: all keys are of times to come by it.

        A key that was added now would be one of long ago by the others' clocks. It would sign at once, and the one
        before, whose tokens are valid, be removed.
        """
        if min((key.creation_date for key in self._signer.keys), default=now) <= now + self._times.clock_skew:
            self._behind_since = None
            return False
        monotonic = self._clock.monotonic()
        if self._behind_since is None:
            self._behind_since = monotonic
        return monotonic - self._behind_since < _UNSET_FOR

    def _take(self, taken: _Taken, step: Step) -> bool:
        """Takes a step; whether that, or another process, has changed the keys."""
        try:
            self._rotation.take(step)
        except (StaleReading, KeyNotFound, KeyInUse):
            self._forget(taken)
            return True
        except Exception as error:  # noqa: BLE001 - whatever it is, keys have to be followed, and the step tried again
            self._fail(taken, step, error)
            return False
        _log.info("signing key changed", extra=_described(step))
        self._forget(taken)
        return True

    def _forget(self, taken: _Taken) -> None:
        self._failures = {each: failure for each, failure in self._failures.items() if each != taken}

    def _fail(self, taken: _Taken, step: Step, error: Exception) -> None:
        self._failed(step.action.value)
        before = self._failures.get(taken)
        if before is None:
            log_problem("signing keys cannot be changed", error, **_described(step))
        pause = min(before.pause * 2, _LONGEST_PAUSE) if before else _FIRST_PAUSE
        self._failures = {**self._failures, taken: _Failure(problem_of(error), self._clock.monotonic() + pause, pause)}


def _described(step: Step) -> Mapping[str, object]:
    return {"action": step.action.value, "algorithm": step.algorithm.value, "generation": step.generation} | (
        {"key_id": step.kid} if step.kid else {"signs_from": step.signs_from}
    )
