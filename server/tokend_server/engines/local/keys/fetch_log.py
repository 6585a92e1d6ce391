"""Who has fetched which key set from this server: a bounded log in memory, which costs a request next to nothing."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from tokend_server.clock import Clock
from tokend_server.engines.local.keys.fetches import Fetch, Verifier
from tokend_server.model import KeySet, NumericDate

#: How many verifiers are known at once, and of one address: a proxy before the issuer has all of them at its own.
MOST_VERIFIERS, MOST_OF_AN_ADDRESS = 1_000, 250

#: How much of a user agent tells it from others.
_USER_AGENT_BYTES = 120

#: For how long a verifier is known after its last fetch: a day, and the time in which that is shared.
KNOWN_FOR = 86_400 + 900

_PRINTABLE = bytes(byte if 0x20 <= byte < 0x7F else ord("?") for byte in range(256))  # noqa: PLR2004 - ASCII


class _Noted(NamedTuple):
    """The last fetch of one verifier."""

    at: float
    key_ids: frozenset[str]


class FetchLog:
    """The last fetch of each verifier within the last day. Methods may be called from any thread; none waits for I/O.

    Those that are known stay known, whoever comes: dropping the one that has fetched nothing for longest would drop the
    one that is behind. One for whom there is no room is counted, and `uncounted_at` tells that not all are known.

    Args:
        clock: The time.
        uncounted: Called for each fetch of a verifier for whom there is no room.

    Attributes:
        changes: Counts what others have to hear of soon: a new verifier, or another key set.
        uncounted_at: When a verifier last fetched for whom there was no room; None: none did within a day.
    """

    def __init__(self, clock: Clock, uncounted: Callable[[], None]) -> None:
        self._clock = clock
        self._uncounted = uncounted
        self._noted: OrderedDict[tuple[str, bytes], _Noted] = OrderedDict()  # the longest ago first
        self._by_address: dict[str, int] = {}
        self._lock = threading.Lock()
        self.changes = 0
        self.uncounted_at: NumericDate | None = None

    def note(self, key_set: KeySet, address: str, user_agent: bytes) -> None:
        """Notes that a key set was given to the one at an address that calls itself so."""
        verifier = address, user_agent[:_USER_AGENT_BYTES].translate(_PRINTABLE)
        now = self._clock.now()
        with self._lock:
            before = self._noted.get(verifier)
            if before is None and not self._make_room(address, now):
                self.changes += self.uncounted_at is None
                self.uncounted_at = int(now)
                self._uncounted()
                return
            if before is None or before.key_ids != key_set.key_ids:
                self.changes += 1
            self._noted[verifier] = _Noted(now, key_set.key_ids)
            self._noted.move_to_end(verifier)

    def fetches(self) -> tuple[Fetch, ...]:
        """The last fetch of each verifier, the longest ago first."""
        now = self._clock.now()
        with self._lock:
            self._forget_old(now)
            return tuple(
                Fetch(Verifier(address, user_agent.decode("ascii")), int(noted.at), noted.key_ids)
                for (address, user_agent), noted in self._noted.items()
            )

    def __len__(self) -> int:
        return len(self._noted)

    def _make_room(self, address: str, now: float) -> bool:
        """Whether there is room for one more of an address, who is counted then."""
        if self._is_full(address):
            self._forget_old(now)
            if self._is_full(address):
                return False
        self._by_address[address] = self._by_address.get(address, 0) + 1
        return True

    def _is_full(self, address: str) -> bool:
        return len(self._noted) >= MOST_VERIFIERS or self._by_address.get(address, 0) >= MOST_OF_AN_ADDRESS

    def _forget_old(self, now: float) -> None:
        while self._noted and next(iter(self._noted.values())).at < now - KNOWN_FOR:
            (address, _user_agent), _noted = self._noted.popitem(last=False)
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
        if self.uncounted_at is not None and self.uncounted_at < now - KNOWN_FOR:
            self.uncounted_at = None
