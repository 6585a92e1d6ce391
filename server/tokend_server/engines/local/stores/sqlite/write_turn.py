"""Orders the writes of a process's threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tokend_server.clock import Clock

#: Writes count as stuck if no turn as short as this has ended for as many seconds.
STUCK_AFTER = 0.5


class NoTurn(Exception):
    """Raised when a write does not get its turn."""


class WriteTurn:
    """Allows one write at a time, which is fairer than polling a database's lock.

    While writes make progress, all wait for their turns. While they are stuck, only some wait and further ones are
    refused at once, so that threads remain for reads.

    Args:
        patient: The maximum number of writes that wait behind a stuck one.
        clock: Measures the waits.
    """

    def __init__(self, patient: int, clock: Clock) -> None:
        self._patient = patient
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = threading.Lock()
        self._waiting = 0
        self._last_progress = clock.monotonic()

    @contextmanager
    def taken(self, timeout: float) -> Iterator[float]:
        """Waits for the turn, and keeps it for the block; yields the remaining seconds.

        Raises:
            NoTurn: The turn did not come within `timeout` seconds, or too many writes wait behind a stuck one.
        """
        until = self._clock.monotonic() + timeout
        self._take(until)
        began = self._clock.monotonic()
        is_written = False
        try:
            yield max(0.0, until - began)
            is_written = True
        finally:
            ended = self._clock.monotonic()
            # A write that failed late has probably waited for another process, as the next one will.
            if is_written or ended - began < STUCK_AFTER:
                self._last_progress = ended
            self._lock.release()

    def _take(self, until: float) -> None:
        if self._lock.acquire(blocking=False):
            if not self._waiting:
                self._last_progress = self._clock.monotonic()
            return
        with self._counts:
            self._waiting += 1
        has_turn = False
        while not has_turn and self._continues_waiting(until):
            has_turn = self._lock.acquire(timeout=min(max(0.0, until - self._clock.monotonic()), STUCK_AFTER))
        if not has_turn:
            raise NoTurn
        with self._counts:
            self._waiting -= 1

    def _continues_waiting(self, until: float) -> bool:
        """Returns whether a thread continues to wait; if not, it no longer counts as waiting."""
        with self._counts:
            now = self._clock.monotonic()
            is_stuck = now - self._last_progress >= STUCK_AFTER
            continues = now < until and not (is_stuck and self._waiting > self._patient)
            self._waiting -= not continues
            return continues
