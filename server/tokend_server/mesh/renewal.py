"""Schedules renewals of pushed tokens and retries after failures, with jitter."""

from tokend_server.clock import Clock
from tokend_server.errors import DeadlineExceeded, LastingError, RetryableError, TokendError

#: The shares of the time to a token's `refresh_time` between which it is renewed; the rest is for the response.
_EARLIEST, _LATEST = 0.6, 0.95

#: The minimum number of seconds between two renewals: an engine may reuse a token that is due for renewal.
_MIN_DELAY = 1.0

#: Seconds until the first retry, which double with each failure, and their maximum.
_FIRST_RETRY, _MAX_RETRY = 1.0, 60.0

#: Seconds until the retry after a refusal, which an operator must resolve.
_REFUSAL_DELAY = 300.0


class ElapsedTime:
    """The elapsed seconds, by the clock that shows more.

    If the wall clock is set forward, tokens are renewed early. If it is set back, tokens are not renewed late, and
    retries are not delayed.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._passed = 0.0
        self._seen = clock.now(), clock.monotonic()

    def seconds(self) -> float:
        """Returns the elapsed seconds since the object was created."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        self._passed += max(now - self._seen[0], monotonic - self._seen[1])
        self._seen = now, monotonic
        return self._passed


def renewal_delay(left: float, share: float) -> float:
    """Returns the seconds until a new token is renewed.

    Args:
        left: Seconds to its `refresh_time`.
        share: A random number from 0 to 1, so that tokens that were issued together are not renewed together.
    """
    part = _EARLIEST + (_LATEST - _EARLIEST) * share
    return max(_MIN_DELAY, left * part)


def is_refusal(error: Exception) -> bool:
    """Returns whether an error means that the caller cannot have the token, rather than not now."""
    passing = (DeadlineExceeded, LastingError, RetryableError)
    return isinstance(error, TokendError) and not isinstance(error, passing)


def retry_delay(failures: int, error: Exception, share: float) -> float:
    """Returns the seconds until the next attempt to issue a token.

    Args:
        failures: The number of consecutive failures, at least one.
        error: The error of the last attempt.
        share: As in `renewal_delay`.
    """
    backoff = min(_FIRST_RETRY * 2.0 ** min(failures - 1, 10), _MAX_RETRY)
    delay = _REFUSAL_DELAY if is_refusal(error) else backoff
    if isinstance(error, RetryableError):
        delay = max(delay, error.retry_after)
    return delay * (0.5 + 0.5 * share)
