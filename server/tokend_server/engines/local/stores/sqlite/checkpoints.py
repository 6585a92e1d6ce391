"""Copies the write-ahead log into the database file at intervals."""

import logging
from typing import Protocol

from tokend_server.clock import Clock
from tokend_server.errors import EngineUnavailable
from tokend_server.process.repeating import Repeating

#: Seconds between two checks, and after which uncopied writes of other processes are copied too.
INTERVAL = 2.0
OTHERS_INTERVAL = 60.0

#: Seconds that the file may be behind before this is logged.
WARNING_AFTER = 60.0

_log = logging.getLogger(__name__)


class Log(Protocol):
    """The write-ahead log."""

    def has_writes(self) -> bool:
        """Returns whether this process has written since the last complete checkpoint."""
        ...

    def has_writes_of_others(self) -> bool:
        """Returns whether any process has written since the last call."""
        ...

    def checkpoint(self) -> bool:
        """Copies the log into the file; returns whether the file now has all of it."""
        ...


class Checkpoints:
    """A thread that copies the log into the file soon after each write.

    Args:
        log: The log.
        clock: Measures how far the file is behind.
        interval: Seconds between two checks.
    """

    def __init__(self, log: Log, clock: Clock, interval: float = INTERVAL) -> None:
        self._log = log
        self._clock = clock
        self._behind_since: float | None = None
        self._others_checked_at = clock.monotonic()
        self._warned = False
        self._repeating = Repeating(self.checkpoint_if_due, interval, "checkpoints")

    def start(self) -> None:
        """Copies now, so that the writes of the start are in the file, and then at every interval."""
        self.checkpoint_if_due()
        self._repeating.start()

    def stop(self) -> None:
        """Stops the thread."""
        self._repeating.stop()

    def seconds_behind(self) -> float:
        """Returns for how long the file has lacked writes that could not be copied; 0 if it lacks none."""
        since = self._behind_since
        return 0.0 if since is None else self._clock.monotonic() - since

    def checkpoint_if_due(self) -> None:
        """Copies the log if that is due."""
        problem = ""
        try:
            if self._is_due() and not self._log.checkpoint():
                problem = "another process reads an older state, or copies"
        except EngineUnavailable as error:
            problem = error.text
        self._record_outcome(problem)

    def _is_due(self) -> bool:
        if self._log.has_writes():
            return True
        now = self._clock.monotonic()
        if now - self._others_checked_at < OTHERS_INTERVAL:
            return False
        self._others_checked_at = now
        return self._log.has_writes_of_others()

    def _record_outcome(self, problem: str) -> None:
        if not problem:
            if self._warned:
                _log.info("the database file contains all of its log again")
            self._behind_since, self._warned = None, False
            return
        if self._behind_since is None:
            self._behind_since = self._clock.monotonic()
        if self.seconds_behind() >= WARNING_AFTER and not self._warned:
            self._warned = True
            _log.warning(
                "the database file is behind its log: a copy without the log would lack the latest writes",
                extra={"problem": problem, "seconds": round(self.seconds_behind())},
            )
