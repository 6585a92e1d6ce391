"""The caching policy that all clients of tokend share (`clients/README.md`), as decisions without I/O."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto

from tokend_client.clock import Clock, SystemClock
from tokend_client.errors import TokendError
from tokend_client.model import OpenIdToken

_LARGEST_JITTER = 0.1
_LARGEST_SKEW = 0.1
_FIRST_BACKOFF = 1.0
_LONGEST_BACKOFF = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CachingPolicy:
    """What of the caching policy can be set.

    Attributes:
        skew: How long before `expire_time` a token is not handed out any more; at most a tenth of its life.
        refresh_timeout: Seconds that a refresh may take. The client's own timeout bounds it, too.
        clock: The time.
        random: Draws from [0, 1), for jitter and back-off.
    """

    skew: timedelta = timedelta(seconds=60)
    refresh_timeout: float = 3.0
    clock: Clock = field(default_factory=SystemClock)
    random: Callable[[], float] = random.random


class Freshness(Enum):
    """What a token is good for: to be handed out, to be handed out and replaced, to be replaced first."""

    FRESH = auto()
    STALE = auto()
    EXPIRED = auto()


@dataclass(frozen=True, slots=True)
class Held:
    """A token with the times that this client goes by.

    Its age is taken from both clocks: one that is set back or stands still makes no token younger.

    Attributes:
        token: The token.
        arrived_at: When it came, in seconds since the Unix epoch.
        arrived_monotonic: The same moment on the monotonic clock.
        fresh_for: The age in seconds from which it is stale.
        usable_for: The age in seconds from which it is expired.
    """

    token: OpenIdToken
    arrived_at: float
    arrived_monotonic: float
    fresh_for: float
    usable_for: float

    def freshness(self, clock: Clock) -> Freshness:
        """What the token is good for now."""
        age = max(clock.now() - self.arrived_at, clock.monotonic() - self.arrived_monotonic)
        if age < self.fresh_for:
            return Freshness.FRESH
        return Freshness.STALE if age < self.usable_for else Freshness.EXPIRED


def hold(token: OpenIdToken, policy: CachingPolicy) -> Held:
    """Takes in a token that has just come: draws its jitter and limits its skew."""
    now = policy.clock.now()
    life = max(token.expire_time.timestamp() - now, 0.0)
    until_refresh = max(token.refresh_time.timestamp() - now, 0.0)
    usable_for = life - min(policy.skew.total_seconds(), life * _LARGEST_SKEW)
    fresh_for = until_refresh * (1 - _LARGEST_JITTER * policy.random())
    return Held(token, now, policy.clock.monotonic(), min(fresh_for, usable_for), usable_for)


@dataclass(frozen=True, slots=True)
class Backoff:
    """What failed refreshes leave behind.

    Attributes:
        error: The last failure; None after a success.
        failures: How many there were in a row.
        until: Reading of the monotonic clock from which on another refresh may start.
    """

    error: TokendError | None = None
    failures: int = 0
    until: float = -math.inf

    def after(self, error: TokendError, policy: CachingPolicy) -> "Backoff":
        """The back-off after one more failure: as long as the service asks for, or else doubling and drawn."""
        if error.retry_delay is not None:
            delay = error.retry_delay.total_seconds()
        else:
            delay = min(_FIRST_BACKOFF * 2.0 ** min(self.failures, 60), _LONGEST_BACKOFF)
            delay *= (1 + policy.random()) / 2
        return Backoff(error, self.failures + 1, policy.clock.monotonic() + delay)
