"""The limits of each caller, which keep capacity available for other callers."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tokend_server.callers.patterns import matches
from tokend_server.clock import Clock
from tokend_server.errors import TooManyRequests
from tokend_server.lru_cache import one_per_key
from tokend_server.model import ANONYMOUS
from tokend_server.token_bucket import TokenBucket

#: The number of callers that are remembered; the least recent is forgotten.
_MAX_REMEMBERED = 100_000

#: Seconds after which a caller with too many concurrent calls should retry.
_RETRY_AFTER = 1.0


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate with a burst.

    Attributes:
        per_second: The rate a second; 0 for no limit.
        burst: The maximum number at once after a pause.
    """

    per_second: float
    burst: int

    def share(self, replicas: int) -> "Rate":
        """Returns the share of each of several servers that share the calls; its burst is at least one."""
        return Rate(self.per_second / replicas, max(1, self.burst // replicas))

    def bucket(self, clock: Clock) -> TokenBucket | None:
        """Returns a new bucket; None if there is no limit."""
        return TokenBucket(self.per_second, self.burst, clock) if self.per_second else None


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """The limits of one caller.

    Attributes:
        calls: The rate of calls.
        new_identities: The rate of identities that its calls create.
        concurrent_calls: The maximum number of concurrent calls.
    """

    calls: Rate
    new_identities: Rate
    concurrent_calls: int

    def share(self, replicas: int) -> "CallerLimits":
        """Returns the limits of each of several servers: rates are divided, concurrent calls are per server."""
        return CallerLimits(self.calls.share(replicas), self.new_identities.share(replicas), self.concurrent_calls)


@dataclass(slots=True)
class CallerUsage:
    """The current use of one caller's limits."""

    calls: TokenBucket | None
    new_identities: TokenBucket | None
    concurrent_calls: int
    running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def end(self) -> None:
        """Records the end of a call."""
        with self.lock:
            self.running -= 1


class RateLimits:
    """The limits of all callers.

    Args:
        default: The limits of callers that match no pattern.
        by_pattern: The limits of callers that match a pattern; the first match applies.
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
        self._usage_of = one_per_key(self._new_usage, _MAX_REMEMBERED)

    def begin(self, caller: str) -> "CallerUsage | None":
        """Starts a call, and returns its caller's usage, on which `end` must be called; None if the caller is unknown.

        Raises:
            TooManyRequests: The caller exceeds its rate or its number of concurrent calls.
        """
        if caller == ANONYMOUS:
            return None
        usage = self._usage_of(caller)
        if usage.calls and (wait := usage.calls.take()):
            raise self._refusal("calls", "Too many calls of this caller.", wait)
        with usage.lock:
            if usage.running >= usage.concurrent_calls:
                raise self._refusal("concurrent_calls", "Too many calls of this caller at once.", _RETRY_AFTER)
            usage.running += 1
        return usage

    @contextmanager
    def new_identity(self, caller: str) -> Iterator[None]:
        """Takes one new identity from a caller's quota, and returns it to the quota if the block fails.

        Raises:
            TooManyRequests: The caller has recently created too many identities.
        """
        bucket = None if caller == ANONYMOUS else self._usage_of(caller).new_identities
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

    def _new_usage(self, caller: str) -> CallerUsage:
        fitting = (limits for pattern, limits in self._by_pattern if matches(pattern, caller))
        limits = next(fitting, self._default)
        return CallerUsage(
            limits.calls.bucket(self._clock), limits.new_identities.bucket(self._clock), limits.concurrent_calls
        )

    def _refusal(self, limit: str, text: str, retry_after: float) -> TooManyRequests:
        self._on_refusal(limit)
        refusal = TooManyRequests(text, retry_after=retry_after)
        refusal.misuse = True
        return refusal
