import time
from typing import Protocol


class Clock(Protocol):
    """The two clocks of the caching policy."""

    def now(self) -> float:
        """Wall-clock time, in seconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start, by a clock that never runs backwards."""
        ...


class SystemClock:
    """The machine's own clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
