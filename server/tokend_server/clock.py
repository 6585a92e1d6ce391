"""Time as a dependency: the wall clock, the monotonic clock, and deadlines on the monotonic clock."""

import math
import time
from typing import NamedTuple, Protocol

from tokend_server.errors import DeadlineExceeded


class Clock(Protocol):
    """The two clocks that the service reads."""

    def now(self) -> float:
        """Wall-clock time in seconds since the Unix epoch, for times that others read, such as `exp`."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start, which never decrease: for ages, intervals and deadlines."""
        ...


class SystemClock:
    """The system's clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class Deadline(NamedTuple):
    """The time until which a caller waits for its response.

    Attributes:
        clock: The clock that measures it.
        expires_at: A monotonic reading of that clock; infinite if the caller sets no deadline.
    """

    clock: Clock
    expires_at: float = math.inf

    def remaining(self) -> float:
        """Seconds left: infinite without a deadline, never negative."""
        return max(self.expires_at - self.clock.monotonic(), 0.0)

    def within(self, seconds: float) -> "Deadline":
        """Returns the deadline after some seconds, or this one if it is sooner."""
        return Deadline(self.clock, min(self.expires_at, self.clock.monotonic() + seconds))

    def check(self) -> None:
        """Stops work whose caller no longer waits for it.

        Raises:
            DeadlineExceeded: No time is left.
        """
        if self.expires_at != math.inf and self.expires_at <= self.clock.monotonic():
            raise DeadlineExceeded
