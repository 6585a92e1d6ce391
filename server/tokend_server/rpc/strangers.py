"""How many calls come from connections of a host that have not shown who calls."""

import threading
from collections import Counter
from collections.abc import Callable, Container
from functools import lru_cache

from tokend_server.clock import Clock
from tokend_server.rpc.peers import host_of
from tokend_server.token_bucket import TokenBucket

#: How many hosts are remembered; the one that has not called for longest begins with a full bucket.
_REMEMBERED = 10_000


class Strangers:
    """Counts the calls of each host that have shown no caller so far.

    When a connection shows who calls, its calls no longer count: a thousand clients may come back at once. Calls that
    were given up before anything was done for them still do.

    Args:
        per_second: How many calls of strangers a host may make a second.
        burst: How many at once after a pause.
        on_flood: Called with the host of each call beyond that.
        clock: The time.
    """

    def __init__(self, per_second: float, burst: int, on_flood: Callable[[str], None], clock: Clock) -> None:
        self._on_flood = on_flood
        self._bucket: Callable[[str], TokenBucket] = lru_cache(_REMEMBERED)(
            lambda _host: TokenBucket(per_second, burst, clock)
        )
        self._calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    def call(self, peer: str) -> None:
        """Counts a call of a connection, as gRPC calls its peer."""
        host = host_of(peer)
        if self._bucket(host).take():
            self._on_flood(host)
            return
        with self._lock:
            self._calls[peer] += 1

    def abandon(self, peer: str) -> None:
        """Counts a call of a connection that ended before it was worked on: whoever is shown later, it counts."""
        with self._lock:
            if self._calls[peer] > 0:
                self._calls[peer] -= 1
                return
        host = host_of(peer)
        if self._bucket(host).take():
            self._on_flood(host)

    def forgive(self, peer: str) -> None:
        """Takes back the calls of a connection that has shown who calls."""
        with self._lock:
            calls = self._calls.pop(peer, 0)
        for _ in range(calls):
            self._bucket(host_of(peer)).put_back()

    def keep(self, peers: Container[str]) -> None:
        """Forgets all connections but some."""
        with self._lock:
            self._calls = Counter({peer: calls for peer, calls in self._calls.items() if peer in peers})
