import time
from typing import Protocol


class Clock(Protocol):
    """The two readings of time that the caching policy takes."""

    def now(self) -> float:
        """Wall-clock time, in seconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never run backwards."""
        ...


class SystemClock:
    """The machine's own clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
