"""A cache of the latest tokens by request key, until their renewal is due."""

from dataclasses import dataclass
from datetime import timedelta

from tokend_server.clock import Clock
from tokend_server.lru_cache import LruCache
from tokend_server.model import IssuedToken, NumericDate


@dataclass(frozen=True, slots=True)
class CachedToken:
    """A reusable token.

    Attributes:
        issued: The token.
        received_at: Monotonic time when it was received.
        life: The seconds from its `iat` to its `exp`.
    """

    issued: IssuedToken
    received_at: float
    life: float


class TokenCache:
    """A cache of the latest tokens by request key.

    A token's age is measured by both clocks, so that a clock that is slow or set back does not extend it.

    Args:
        max_tokens: The maximum number of tokens; the least recently used one is evicted.
        stale_margin: How long before its expiration a token is no longer used.
        clock: The time.
    """

    def __init__(self, max_tokens: int, stale_margin: timedelta, clock: Clock) -> None:
        self._tokens: LruCache[CachedToken] = LruCache(max_tokens)
        self._stale_margin = stale_margin.total_seconds()
        self._clock = clock

    def __len__(self) -> int:
        return len(self._tokens)

    def put(self, key: bytes, issued: IssuedToken, issued_at: NumericDate) -> None:
        """Stores a token that has just been received."""
        self._tokens.put(key, CachedToken(issued, self._clock.monotonic(), issued.expire_time - issued_at))

    def fresh(self, key: bytes) -> IssuedToken | None:
        """Returns the token for a key until its `refresh_time`."""
        held = self._tokens.get(key)
        if held is None:
            return None
        until_refresh = held.issued.refresh_time - held.issued.expire_time + held.life
        return held.issued if self._is_before(held, held.issued.refresh_time, until_refresh) else None

    def usable(self, key: bytes) -> IssuedToken | None:
        """Returns the token for a key until the margin before its `expire_time`."""
        held = self._tokens.get(key)
        if held is None:
            return None
        margin = self._stale_margin
        return held.issued if self._is_before(held, held.issued.expire_time - margin, held.life - margin) else None

    def _is_before(self, held: CachedToken, date: float, age: float) -> bool:
        return self._clock.now() < date and self._clock.monotonic() - held.received_at < age
