"""How much is taken from each caller, so that one of them leaves room for the others."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from tokend_server.callers.patterns import matches
from tokend_server.clock import Clock
from tokend_server.errors import TooManyRequests
from tokend_server.model import ANONYMOUS
from tokend_server.token_bucket import TokenBucket

#: How many callers are remembered; the one that has not called for longest is forgotten.
_REMEMBERED = 100_000

#: Seconds after which a caller with too many calls at once may try again.
_RETRY_AFTER = 1.0


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate with a burst.

    Attributes:
        per_second: How many a second; 0 stands for no limit.
        burst: How many at once after a pause.
    """

    per_second: float
    burst: int

    def part(self, replicas: int) -> "Rate":
        """What each of several servers admits, over which calls are spread; a burst is one at least."""
        return Rate(self.per_second / replicas, max(1, self.burst // replicas))

    def bucket(self, clock: Clock) -> TokenBucket | None:
        """A bucket of its own, unless there is no limit."""
        return TokenBucket(self.per_second, self.burst, clock) if self.per_second else None


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """What is taken from one caller.

    Attributes:
        calls: Calls.
        new_identities: Identities that its calls create.
        concurrent_calls: Calls that are worked on at once.
    """

    calls: Rate
    new_identities: Rate
    concurrent_calls: int

    def part(self, replicas: int) -> "CallerLimits":
        """The limits of each of several servers: rates are divided, calls at once are each server's own."""
        return CallerLimits(self.calls.part(replicas), self.new_identities.part(replicas), self.concurrent_calls)


@dataclass(slots=True)
class Place:
    """One caller's use of its limits."""

    calls: TokenBucket | None
    new_identities: TokenBucket | None
    concurrent_calls: int
    running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def end(self) -> None:
        """Ends a call."""
        with self.lock:
            self.running -= 1


class RateLimits:
    """The limits of all callers.

    Args:
        default: Those of callers that no pattern fits.
        by_pattern: Those of callers that a pattern fits, the first that does.
        on_refusal: Called for each refusal with its limit: `calls`, `concurrent_calls` or `new_identities`.
        clock: The time.
    """

    def __init__(
        self,
        default: CallerLimits,
        by_pattern: Sequence[tuple[str, CallerLimits]],
        on_refusal: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._default = default
        self._by_pattern = tuple(by_pattern)
        self._on_refusal = on_refusal
        self._clock = clock
        self._lock = threading.Lock()
        self._remembered: Callable[[str], Place] = lru_cache(_REMEMBERED)(self._begin)

    def begin(self, caller: str) -> "Place | None":
        """Takes a place for a call of a caller, to be given back at its end; callers who are not known need none.

        Raises:
            TooManyRequests: It has called too often of late, or has too many calls at once.
        """
        if caller == ANONYMOUS:
            return None
        place = self._of(caller)
        if place.calls and (wait := place.calls.take()):
            raise self._refusal("calls", "Too many calls of this caller.", wait)
        with place.lock:
            if place.running >= place.concurrent_calls:
                raise self._refusal("concurrent_calls", "Too many calls of this caller at once.", _RETRY_AFTER)
            place.running += 1
        return place

    @contextmanager
    def new_identity(self, caller: str) -> Iterator[None]:
        """Holds a caller's right to create an identity, and gives it back if the block fails.

        Raises:
            TooManyRequests: It has created too many of late.
        """
        bucket = None if caller == ANONYMOUS else self._of(caller).new_identities
        if bucket is None:
            yield
            return
        if wait := bucket.take():
            raise self._refusal("new_identities", "Too many new identities of this caller.", wait)
        try:
            yield
        except BaseException:
            bucket.put_back()
            raise

    def _of(self, caller: str) -> Place:
        with self._lock:  # of two first calls at once, each would otherwise begin with full buckets of its own
            return self._remembered(caller)

    def _begin(self, caller: str) -> Place:
        fitting = (limits for pattern, limits in self._by_pattern if matches(pattern, caller))
        limits = next(fitting, self._default)
        return Place(
            limits.calls.bucket(self._clock), limits.new_identities.bucket(self._clock), limits.concurrent_calls
        )

    def _refusal(self, limit: str, text: str, retry_after: float) -> TooManyRequests:
        self._on_refusal(limit)
        refusal = TooManyRequests(text, retry_after=retry_after)
        refusal.misuse = True
        return refusal
