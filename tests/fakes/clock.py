"""A clock that moves only when a test moves it."""

import threading
from contextlib import suppress


class FakeClock:
    def __init__(self, now: float = 1_800_000_000.0, monotonic: float = 1000.0) -> None:
        self._now = now
        self._monotonic = monotonic

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds

    def move_wall_clock(self, seconds: float) -> None:
        """Sets the wall clock forward or back, like an administrator."""
        self._now += seconds


class MeetingClock(FakeClock):
    """Makes the first reads of two threads concurrent, if possible."""

    def __init__(self) -> None:
        super().__init__()
        self._meeting = threading.Barrier(2)

    def monotonic(self) -> float:
        with suppress(threading.BrokenBarrierError):
            self._meeting.wait(0.2)
        return super().monotonic()
