"""A bounded in-memory log of the verifiers that have fetched key sets from this server, at little cost per request."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from tokend_server.clock import Clock
from tokend_server.engines.local.keys.fetches import Fetch, Verifier
from tokend_server.model import KeySet, NumericDate

#: The maximum number of verifiers, and of one address: behind a proxy, all verifiers have the proxy's address.
MAX_VERIFIERS, MAX_VERIFIERS_PER_ADDRESS = 1_000, 250

#: The number of bytes of a user agent that are compared.
_USER_AGENT_BYTES = 120

#: Seconds that a verifier is remembered after its last fetch: a day, and the time until other servers know of it.
RETENTION_SECONDS = 86_400 + 900

_PRINTABLE = bytes(byte if 0x20 <= byte < 0x7F else ord("?") for byte in range(256))  # noqa: PLR2004 - ASCII


class _LastFetch(NamedTuple):
    """The last fetch of one verifier."""

    at: float
    key_ids: frozenset[str]


class FetchLog:
    """The last fetch of each verifier within the last day. Methods are thread-safe and perform no I/O.

    Known verifiers are never evicted for new ones: the least recent verifier may be the one without the new key. A
    verifier for which there is no room is counted, and `uncounted_at` shows that not all are known.

    Args:
        clock: The time.
        uncounted: Called for each fetch of a verifier for which there is no room.

    Attributes:
        changes: The number of changes that other servers must learn of soon: a new verifier, or a new key set.
        uncounted_at: The last fetch of a verifier for which there was no room; None if there was none within a day.
    """

    def __init__(self, clock: Clock, uncounted: Callable[[], None]) -> None:
        self._clock = clock
        self._uncounted = uncounted
        self._last_fetches: OrderedDict[tuple[str, bytes], _LastFetch] = OrderedDict()  # the oldest first
        self._by_address: dict[str, int] = {}
        self._lock = threading.Lock()
        self.changes = 0
        self.uncounted_at: NumericDate | None = None

    def note(self, key_set: KeySet, address: str, user_agent: bytes) -> None:
        """Records that a key set was sent to an address, with the user agent of its request."""
        verifier = address, user_agent[:_USER_AGENT_BYTES].translate(_PRINTABLE)
        now = self._clock.now()
        with self._lock:
            before = self._last_fetches.get(verifier)
            if before is None and not self._make_room(address, now):
                self.changes += self.uncounted_at is None
                self.uncounted_at = int(now)
                self._uncounted()
                return
            if before is None or before.key_ids != key_set.key_ids:
                self.changes += 1
            self._last_fetches[verifier] = _LastFetch(now, key_set.key_ids)
            self._last_fetches.move_to_end(verifier)

    def fetches(self) -> tuple[Fetch, ...]:
        """Returns the last fetch of each verifier, the oldest first."""
        now = self._clock.now()
        with self._lock:
            self._remove_old(now)
            return tuple(
                Fetch(Verifier(address, user_agent.decode("ascii")), int(noted.at), noted.key_ids)
                for (address, user_agent), noted in self._last_fetches.items()
            )

    def __len__(self) -> int:
        return len(self._last_fetches)

    def _make_room(self, address: str, now: float) -> bool:
        """Returns whether there is room for one more verifier of an address, and counts it if so."""
        if self._is_full(address):
            self._remove_old(now)
            if self._is_full(address):
                return False
        self._by_address[address] = self._by_address.get(address, 0) + 1
        return True

    def _is_full(self, address: str) -> bool:
        return len(self._last_fetches) >= MAX_VERIFIERS or self._by_address.get(address, 0) >= MAX_VERIFIERS_PER_ADDRESS

    def _remove_old(self, now: float) -> None:
        while self._last_fetches and next(iter(self._last_fetches.values())).at < now - RETENTION_SECONDS:
            (address, _user_agent), _last_fetches = self._last_fetches.popitem(last=False)
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
        if self.uncounted_at is not None and self.uncounted_at < now - RETENTION_SECONDS:
            self.uncounted_at = None
