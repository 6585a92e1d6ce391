"""Counts the calls of a host on connections that have not identified their caller."""

import threading
from collections import Counter
from collections.abc import Callable, Container

from tokend_server.clock import Clock
from tokend_server.lru_cache import one_per_key
from tokend_server.rpc.peers import host_of
from tokend_server.token_bucket import TokenBucket

#: The number of hosts that are remembered; the least recent is forgotten, and then starts with a full bucket.
_MAX_REMEMBERED = 10_000


class UnidentifiedCalls:
    """Counts the calls of each host whose caller is not identified yet.

    Once a connection has identified its caller, its calls no longer count: a thousand clients may reconnect at once.
    Calls that were cancelled before any work on them still count.

    Args:
        per_second: The maximum rate of such calls of a host, in calls a second.
        burst: The maximum number of such calls at once after a pause.
        on_flood: Called with the host of each call above these limits.
        clock: The clock.
    """

    def __init__(self, per_second: float, burst: int, on_flood: Callable[[str], None], clock: Clock) -> None:
        self._on_flood = on_flood
        self._bucket = one_per_key(lambda _host: TokenBucket(per_second, burst, clock), _MAX_REMEMBERED)
        self._calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count_call(self, peer: str) -> None:
        """Counts a call of a connection, as gRPC names its peer."""
        host = host_of(peer)
        if self._bucket(host).take():
            self._on_flood(host)
            return
        with self._lock:
            self._calls[peer] += 1

    def count_abandoned(self, peer: str) -> None:
        """Counts a call that ended before any work on it, even if its connection identifies its caller later."""
        with self._lock:
            if self._calls[peer] > 0:
                self._calls[peer] -= 1
                return
        host = host_of(peer)
        if self._bucket(host).take():
            self._on_flood(host)

    def discount(self, peer: str) -> None:
        """Subtracts the calls of a connection that has identified its caller."""
        with self._lock:
            calls = self._calls.pop(peer, 0)
        for _ in range(calls):
            self._bucket(host_of(peer)).put_back()

    def retain(self, peers: Container[str]) -> None:
        """Forgets all connections except some."""
        with self._lock:
            self._calls = Counter({peer: calls for peer, calls in self._calls.items() if peer in peers})
