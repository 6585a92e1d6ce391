"""When a token that was pushed is replaced, and when a failure is tried again: at times that are spread out."""

from tokend_server.clock import Clock
from tokend_server.errors import DeadlineExceeded, LastingError, RetryableError, TokendError

#: The part of the time to a token's `refresh_time` within which it is replaced. What is left is for the answer.
_EARLIEST, _LATEST = 0.6, 0.95

#: Seconds that are between two tokens at least: an engine may give out one again that is about to be replaced.
_LEAST = 1.0

#: Seconds until the first retry, which double with each failure, and the most.
_FIRST_RETRY, _LONGEST_RETRY = 1.0, 60.0

#: Seconds until a caller that was refused a token is asked for once more: it is an operator who has to act.
_AFTER_REFUSAL = 300.0


class PassedTime:
    """Seconds that have passed, by whichever clock has gone further.

    A wall clock that is set forward ends tokens early. One that is set back makes none younger, and nothing that failed
    has to wait until it is again where it was.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._passed = 0.0
        self._seen = clock.now(), clock.monotonic()

    def seconds(self) -> float:
        """How many there are since this was made."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        self._passed += max(now - self._seen[0], monotonic - self._seen[1])
        self._seen = now, monotonic
        return self._passed


def renewal_delay(left: float, share: float) -> float:
    """Seconds until a token that was just issued is replaced.

    Args:
        left: Seconds to its `refresh_time`.
        share: From 0 to 1, at random, so that tokens that were issued at once are not replaced at once.
    """
    part = _EARLIEST + (_LATEST - _EARLIEST) * share
    return max(_LEAST, left * part)


def is_refusal(error: Exception) -> bool:
    """Whether a failure says that there is no such token for the caller, rather than none now."""
    passing = (DeadlineExceeded, LastingError, RetryableError)
    return isinstance(error, TokendError) and not isinstance(error, passing)


def retry_delay(failures: int, error: Exception, share: float) -> float:
    """Seconds until a token is asked for once more.

    Args:
        failures: How often it has failed in a row, at least once.
        error: What it failed with the last time.
        share: As in `renewal_delay`.
    """
    backoff = min(_FIRST_RETRY * 2.0 ** min(failures - 1, 10), _LONGEST_RETRY)
    delay = _AFTER_REFUSAL if is_refusal(error) else backoff
    if isinstance(error, RetryableError):
        delay = max(delay, error.retry_after)
    return delay * (0.5 + 0.5 * share)
