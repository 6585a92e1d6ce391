"""Whose turn it is to write, among the threads of a process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tokend_server.clock import Clock

#: Seconds without a turn as short as that after which writes count as stuck.
STUCK_AFTER = 0.5


class NoTurn(Exception):
    """Raised when a write does not get its turn."""


class WriteTurn:
    """One write at a time, which is fairer than to try a database's lock again and again.

    While writes get on, all wait for their turns. While they are stuck, only some wait and further ones are refused at
    once, so that threads are left for what only reads.

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
        self._got_on = clock.monotonic()

    @contextmanager
    def taken(self, timeout: float) -> Iterator[float]:
        """Waits for the turn, and keeps it for the block; yields the seconds that are left.

        Raises:
            NoTurn: It did not come within `timeout` seconds, or others wait already behind a write that is stuck.
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
            # A write that failed late has most likely waited for another process; so will the next one.
            if is_written or ended - began < STUCK_AFTER:
                self._got_on = ended
            self._lock.release()

    def _take(self, until: float) -> None:
        if self._lock.acquire(blocking=False):
            if not self._waiting:
                self._got_on = self._clock.monotonic()
            return
        with self._counts:
            self._waiting += 1
        has_turn = False
        while not has_turn and self._goes_on_waiting(until):
            has_turn = self._lock.acquire(timeout=min(max(0.0, until - self._clock.monotonic()), STUCK_AFTER))
        if not has_turn:
            raise NoTurn
        with self._counts:
            self._waiting -= 1

    def _goes_on_waiting(self, until: float) -> bool:
        """Whether a thread that waits goes on; if not, it is no longer counted among those that do."""
        with self._counts:
            now = self._clock.monotonic()
            is_stuck = now - self._got_on >= STUCK_AFTER
            goes_on = now < until and not (is_stuck and self._waiting > self._patient)
            self._waiting -= not goes_on
            return goes_on
