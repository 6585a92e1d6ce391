"""Token buckets: rates with a burst after a pause."""

import threading

from tokend_server.clock import Clock


class TokenBucket:
    """Admits `rate` requests a second, and up to `burst` at once after a pause.

    In any second it admits at most `rate + burst` requests.

    Args:
        rate: Requests a second, above zero.
        burst: Requests that a full bucket holds, at least one.
        clock: The time.
    """

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._lock = threading.Lock()
        self._level = self._burst
        self._filled_at = clock.monotonic()

    def take(self) -> float:
        """Takes one token, if there is one.

        Returns:
            0 if it was taken, or the seconds until the next one is available.
        """
        with self._lock:
            now = self._clock.monotonic()
            self._level = min(self._burst, self._level + (now - self._filled_at) * self._rate)
            self._filled_at = now
            if self._level < 1.0:
                return (1.0 - self._level) / self._rate
            self._level -= 1.0
            return 0.0

    def put_back(self) -> None:
        """Gives back a token that was not used."""
        with self._lock:
            self._level = min(self._burst, self._level + 1.0)
