"""The caching policy of all tokend clients (`clients/README.md`), without I/O."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto

from tokend_client.arguments import check_positive
from tokend_client.clock import Clock, SystemClock
from tokend_client.errors import TokendError
from tokend_client.model import Token

_MAX_JITTER = 0.1
_MAX_SKEW = 0.1
_MIN_FRESH = 1.0
_FIRST_BACKOFF = 1.0
_MAX_BACKOFF = 60.0
_MAX_BACKOFF_WHEN_EXPIRED = 2.0
_MAX_DELAY = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CachingPolicy:
    """The settings of the caching policy.

    Attributes:
        skew: How long before its expiry a token is no longer returned; at most a tenth of its lifetime.
        refresh_timeout: The timeout of a refresh in seconds, from the moment when it is sent.
        clock: The clock.
        random: Returns random numbers from [0, 1), for jitter and back-off.

    Raises:
        ValueError: `skew` is negative, or `refresh_timeout` is not positive.
    """

    skew: timedelta = timedelta(seconds=60)
    refresh_timeout: float = 3.0
    clock: Clock = field(default_factory=SystemClock)
    random: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if self.skew < timedelta():
            raise ValueError(f"skew must not be negative: {self.skew}")
        check_positive(self.refresh_timeout, "refresh_timeout")


class Freshness(Enum):
    """The state of a token: usable, usable but due for a refresh, or unusable until a refresh."""

    FRESH = auto()
    STALE = auto()
    EXPIRED = auto()


@dataclass(frozen=True, slots=True)
class Held:
    """A token with its times by the client's clocks.

    The age is measured by both clocks, so that a clock that is set back or stops does not make a token younger.

    Attributes:
        token: The token.
        arrived_at: When it arrived, in seconds since the Unix epoch.
        arrived_monotonic: The same moment on the monotonic clock.
        fresh_for: The age in seconds from which it is stale.
        usable_for: The age in seconds from which it is expired.
    """

    token: Token
    arrived_at: float
    arrived_monotonic: float
    fresh_for: float
    usable_for: float

    def freshness(self, clock: Clock) -> Freshness:
        """Returns the current state of the token."""
        age = self.age(clock)
        if age < self.fresh_for:
            return Freshness.FRESH
        return Freshness.STALE if age < self.usable_for else Freshness.EXPIRED

    def age(self, clock: Clock) -> float:
        """Returns the seconds since its arrival."""
        return max(clock.now() - self.arrived_at, clock.monotonic() - self.arrived_monotonic)


def hold(token: Token, policy: CachingPolicy) -> Held:
    """Returns a snapshot of a token that has just arrived, with its jitter and its skew."""
    now = policy.clock.now()
    issued_at = token.issue_time.timestamp() if token.issue_time else now
    life = max(token.expire_time.timestamp() - issued_at, 0.0)
    until_refresh = max(token.refresh_time.timestamp() - issued_at, 0.0)
    usable_for = life - min(policy.skew.total_seconds(), life * _MAX_SKEW)
    fresh_for = min(until_refresh * (1 - _MAX_JITTER * policy.random()), usable_for)
    return Held(token, now, policy.clock.monotonic(), max(fresh_for, _MIN_FRESH), usable_for)


@dataclass(frozen=True, slots=True)
class Backoff:
    """The back-off after failed refreshes.

    Attributes:
        error: The last failure; None after a success.
        failures: How many there were in a row.
        since: Reading of the monotonic clock at the last failure.
        fraction: The fraction of the back-off that applies.
        successes: How many refreshes of the client had succeeded at the last failure.
    """

    error: TokendError | None = None
    failures: int = 0
    since: float = -math.inf
    fraction: float = 1.0
    successes: int = 0

    def after(self, error: TokendError, policy: CachingPolicy, successes: int) -> "Backoff":
        """Returns the back-off after one more failure."""
        fraction = (1 + policy.random()) / 2
        return Backoff(error, self.failures + 1, policy.clock.monotonic(), fraction, successes)

    def is_over(self, monotonic: float, freshness: Freshness, successes: int) -> bool:
        """Returns whether the next refresh may start at a reading of the monotonic clock.

        A failure without a reason means that the service was not available: the next success of any source ends the
        back-off.
        """
        if self.error is None or (self.error.reason is None and successes != self.successes):
            return True
        return monotonic >= self.since + self.delay(self.error, freshness)

    def delay(self, error: TokendError, freshness: Freshness) -> float:
        """Returns the seconds from the failure to the next refresh."""
        asked_for = error.retry_delay.total_seconds() if error.retry_delay else 0.0
        if asked_for > 0:
            return min(asked_for, _MAX_DELAY)
        longest = _MAX_BACKOFF_WHEN_EXPIRED if freshness is Freshness.EXPIRED else _MAX_BACKOFF
        return self.fraction * min(_FIRST_BACKOFF * 2.0 ** min(self.failures - 1, 60), longest)
