"""The background thread of a server that reloads the keys from the store, and rotates them."""

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

#: The first and the longest pause between attempts at a failing step, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0

#: Seconds for which a clock that is behind all keys counts as not set yet.
_MAX_UNSET_SECONDS = 3600.0

#: The steps that a process takes, as texts for operators. A key starts to sign by itself.
_STEP_TEXTS: Mapping[Action, str] = {Action.ADD: "adding the next key", Action.REMOVE: "removing an expired key"}


class _StepId(NamedTuple):
    """The identity of a step, whenever it is planned."""

    algorithm: SigningAlgorithm
    action: Action
    generation: int


@dataclass(frozen=True, slots=True)
class _Failure:
    """The error of a step, the monotonic time of the next attempt, and the pause since the last attempt."""

    text: str
    not_before: float
    pause: float


class KeyTask:
    """A thread that reads the signing keys at intervals, and takes the steps of their plan that are due.

    Each server has such a thread, and the store accepts each step only once.

    Args:
        signer: Signs with the keys.
        refresh: Reads the keys.
        rotation: Changes the keys.
        watch: Follows verifiers after each read.
        algorithms: The signing algorithms of pools; keys of other algorithms are removed in time and not replaced.
        clock: The time.
        times: The times of keys.
        failed: Called with the action of each step that fails.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all its parts
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
        self._failures: Mapping[_StepId, _Failure] = {}
        self._behind_since: float | None = None
        self._acts = Repeating(self.run_due_steps, times.refresh, "signing keys")

    def start(self) -> None:
        """Starts the thread; the first read is after an interval."""
        self._acts.start()

    def stop(self) -> None:
        """Stops the thread after its current step."""
        self._acts.stop()
        self._watch.stop()

    def run_due_steps(self) -> None:
        """Reads the keys, and takes the steps that are due, unless this process cannot use some of the keys."""
        complete = self._refresh.refresh()
        activated = self._watch.update(may_change=complete)
        if not complete:
            return
        self._rotation.discard_superseded(self._signer.keys)
        due = {_StepId(step.algorithm, step.action, step.generation): step for step in self._due()}
        self._failures = {step_id: failure for step_id, failure in self._failures.items() if step_id in due}
        now = self._clock.monotonic()
        waiting = {step_id for step_id, failure in self._failures.items() if failure.not_before > now}
        changes = [self._take(step_id, step) for step_id, step in due.items() if step_id not in waiting]
        if activated or any(changes):
            self._refresh.refresh()

    def check(self) -> Sequence[str]:
        """Checks that the last read succeeded.

        Returns:
            The steps that fail, and signs that clocks differ too much.

        Raises:
            EngineUnavailable: The store did not answer, or a key could not be opened.
        """
        self._refresh.check()
        steps = [
            f"keys: {step_id.algorithm.value}: {_STEP_TEXTS[step_id.action]} fails: {failure.text}"
            for step_id, failure in self._failures.items()
        ]
        return [*steps, *self._differences_of_clocks()]

    def _differences_of_clocks(self) -> Iterator[str]:
        ahead = max((key.creation_date for key in self._signer.keys), default=0) - self._clock.now()
        if ahead > self._times.clock_skew:
            yield (
                f"keys: one was created {ahead:.0f} s in the future by this server's clock: with clocks that differ by "
                f"more than {self._times.clock_skew} s, keys change too early or too late"
            )

    def _due(self) -> Iterator[Step]:
        now = self._clock.now()
        actions = _STEP_TEXTS.keys() - ({Action.ADD} if self._may_be_unset(now) else set())
        for algorithm in SigningAlgorithm:
            steps = plan(self._signer.keys, algorithm, self._times, now, in_use=algorithm in self._algorithms)
            yield from (step for step in steps if step.at <= now and step.action in actions)

    def _may_be_unset(self, now: float) -> bool:
        """Returns whether the clock may not be set yet, as when a machine starts: all keys are in the future by it.

        By other servers' clocks, a key that was added now would be old. It would sign at once, and the previous key,
        whose tokens are valid, would be removed.
        """
        if min((key.creation_date for key in self._signer.keys), default=now) <= now + self._times.clock_skew:
            self._behind_since = None
            return False
        monotonic = self._clock.monotonic()
        if self._behind_since is None:
            self._behind_since = monotonic
        return monotonic - self._behind_since < _MAX_UNSET_SECONDS

    def _take(self, step_id: _StepId, step: Step) -> bool:
        """Takes a step; returns whether this or another process has changed the keys."""
        try:
            self._rotation.take(step)
        except (StaleReading, KeyNotFound, KeyInUse):
            self._forget(step_id)
            return True
        except Exception as error:  # noqa: BLE001 - the thread must continue, and retry the step, after any error
            self._fail(step_id, step, error)
            return False
        _log.info("signing key changed", extra=_log_fields(step))
        self._forget(step_id)
        return True

    def _forget(self, step_id: _StepId) -> None:
        self._failures = {each: failure for each, failure in self._failures.items() if each != step_id}

    def _fail(self, step_id: _StepId, step: Step, error: Exception) -> None:
        self._failed(step.action.value)
        before = self._failures.get(step_id)
        if before is None:
            log_problem("signing keys cannot be changed", error, **_log_fields(step))
        pause = min(before.pause * 2, _LONGEST_PAUSE) if before else _FIRST_PAUSE
        self._failures = {
            **self._failures,
            step_id: _Failure(problem_of(error), self._clock.monotonic() + pause, pause),
        }


def _log_fields(step: Step) -> Mapping[str, object]:
    return {"action": step.action.value, "algorithm": step.algorithm.value, "generation": step.generation} | (
        {"key_id": step.kid} if step.kid else {"signs_from": step.signs_from}
    )
