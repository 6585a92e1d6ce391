"""Whose turn it is to write, among the threads of a process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tokend_server.clock import Clock

#: Seconds without a turn's end after which a write counts as stuck.
STUCK_AFTER = 0.25


class NoTurn(Exception):
    """Raised when a write does not get its turn."""


class WriteTurn:
    """One write at a time, which is fairer than to try a database's lock again and again.

    While writes get on, all wait for their turns. While one is stuck, only some go on waiting, so that threads are left
    for what only reads.

    Args:
        patient: How many may wait behind a write that is stuck.
        clock: Measures the waiting.
    """

    def __init__(self, patient: int, clock: Clock) -> None:
        self._patient = patient
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = threading.Lock()
        self._waiting = 0
        self._ended = 0

    @contextmanager
    def taken(self, timeout: float) -> Iterator[float]:
        """Waits for the turn, and keeps it for the block; yields the seconds that are left.

        Raises:
            NoTurn: It did not come within `timeout` seconds, or others wait already behind a write that is stuck.
        """
        until = self._clock.monotonic() + timeout
        self._wait(until)
        try:
            yield max(0.0, until - self._clock.monotonic())
        finally:
            self._ended += 1
            self._lock.release()

    def _wait(self, until: float) -> None:
        if self._lock.acquire(blocking=False):
            return
        with self._counts:
            self._waiting += 1
        while True:
            ended, left = self._ended, until - self._clock.monotonic()
            has_turn = left > 0 and self._lock.acquire(timeout=min(left, STUCK_AFTER))
            with self._counts:
                is_stuck = self._ended == ended
                if has_turn or left <= 0 or (is_stuck and self._waiting > self._patient):
                    self._waiting -= 1
                    break
        if not has_turn:
            raise NoTurn
