"""Time, as something that is handed in: the wall clock, the monotonic clock, and deadlines on the latter."""

import math
import time
from typing import NamedTuple, Protocol

from tokend_server.errors import DeadlineExceeded


class Clock(Protocol):
    """The two readings of time that the service takes."""

    def now(self) -> float:
        """Wall-clock time, in seconds since the Unix epoch: for what others read, such as `exp`."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never run backwards: for ages, intervals and deadlines."""
        ...


class SystemClock:
    """The machine's own clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class Deadline(NamedTuple):
    """The moment until which a caller waits for its answer.

    Attributes:
        clock: The clock that measures it.
        expires_at: A monotonic reading of that clock; infinite when the caller sets no deadline.
    """

    clock: Clock
    expires_at: float = math.inf

    def remaining(self) -> float:
        """Seconds left: infinite without a deadline, never negative."""
        return max(self.expires_at - self.clock.monotonic(), 0.0)

    def check(self) -> None:
        """Stops work that no caller waits for any more.

        Raises:
            DeadlineExceeded: No time is left.
        """
        if self.expires_at != math.inf and self.expires_at <= self.clock.monotonic():
            raise DeadlineExceeded
