"""Keeps room for new connections, and ends those that do harm."""

import heapq
import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from itertools import islice

from tokend_server.clock import Clock
from tokend_server.config import Listener
from tokend_server.rpc.peers import Lines, host_of, is_address, is_loopback
from tokend_server.rpc.sockets import Connection, Sockets, end, silent_for
from tokend_server.rpc.strangers import Strangers

_log = logging.getLogger(__name__)

#: The part of the most connections that is kept for newcomers, and the part that is free once it had to be made.
_ROOM, _MADE_ROOM = 1 / 8, 1 / 4

#: A connection whose caller is not known takes the room of so many others.
_WEIGHT_OF_UNKNOWN = 4

#: Seconds that a host's only connection has to show who calls.
_INTRODUCTION = 1.0

#: Seconds without data after which a known caller's connection may have to go.
_SILENCE = 10.0

#: Seconds for which a host that has done harm gets no new connection. A client's second attempt after a dropped one
#: comes after one second, its third after three.
BAR = 2.0

#: The longest bar; each for a call that is an attack by itself is twice as long as the one before. This machine itself
#: is not barred for longer each time: proxies beside the server call from it, and so do its own probes.
_LONGEST_BAR = 64.0

#: How many hosts are remembered for such calls.
_REMEMBERED = 10_000

#: Calls that a host may make by connections that have not shown who calls: a second, and at once.
_STRANGERS_CALLS, _STRANGERS_BURST = 100.0, 1000

#: The least bytes of a field in metadata that are no attack. A client that has not acknowledged the server's limits may
#: repeat a field by an octet, and the number of fields is what they cost here.
_LEAST_FIELD = 8

#: Seconds between two looks, when nothing is wrong and when something is.
_CALM, _ALARMED = 0.1, 0.05

#: Seconds between two looks at every connection, when nothing is wrong. Meanwhile only those that come are looked at,
#: so that quiet ones cost nearly nothing; one that took the descriptor of another one is not seen to be new.
THOROUGH = 2.0


class ConnectionGuard:
    """Watches the connections of some listeners.

    When they take the room that is kept for newcomers, some have to go: those of the hosts and callers with the most of
    them, connections whose caller is not known long before others.

    Args:
        most_metadata: How many bytes of metadata a call may have.
        on_end: Called for each connection that was ended.
        clock: The time.
    """

    def __init__(self, most_metadata: int, on_end: Callable[[], None], clock: Clock) -> None:
        self._most_fields = most_metadata // _LEAST_FIELD
        self._lines = Lines()
        self._on_end = on_end
        self._clock = clock
        self._strangers = Strangers(_STRANGERS_CALLS, _STRANGERS_BURST, self._bar, clock)
        self._sockets = Sockets(clock.monotonic)
        self._most_at: Counter[int] = Counter()
        self._ended: frozenset[int] = frozenset()
        self._barred: dict[str, float] = {}
        self._offences: dict[str, int] = {}
        self._filtered: Sequence[str] = ()
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._thorough_at = 0.0
        self._is_well = False
        self._stopped = False
        self._alarm = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="grpc-connections", daemon=True)

    def watch(self, port: int, most: int) -> None:
        """Takes note of a listener, by its port and how many connections it may have; before `start`."""
        self._most_at[port] += most

    def start(self) -> None:
        """Begins to look by itself."""
        self._thread.start()

    def stop(self) -> None:
        """Watches no more."""
        self._stopped = True
        self._alarm.set()
        if self._thread.is_alive():
            self._thread.join()

    def line_of(self, peer: str, fields: int) -> str:
        """Tells the line that a call waits in, and whether its host goes too far with it.

        Args:
            peer: The call's connection, as gRPC calls its peer.
            fields: How many fields its metadata have.
        """
        if fields > self._most_fields:
            self._punish(peer)
        elif not self._lines.knows(peer):
            self._strangers.call(peer)
        return self._lines.of(peer)

    def line_of_anonymous(self, peer: str, fields: int) -> str:
        """As `line_of`, where callers are not identified: each connection has a line of its own."""
        if fields > self._most_fields:
            self._punish(peer)
        return peer

    def abandoned(self, peer: str, line: str) -> bool:
        """Takes note of a call that ended while it waited in a line, and tells whether it may have to keep its place.

        In the line of its host it has shown no caller: it counts as a stranger's, and its place would be in the way of
        others that have just come.
        """
        if line != host_of(peer):
            return True
        self._strangers.abandon(peer)
        return False

    def learn(self, peer: str, caller: str) -> str:
        """Takes note of the caller of a connection, and tells its line."""
        if line := self._lines.of_caller(peer, caller):
            return line
        if not self._lines.knows(peer):
            self._strangers.forgive(peer)
        return self._lines.learn(peer, caller)

    def glance(self) -> bool:
        """Looks at what has changed, and at all connections if that is due; tells whether all was well."""
        if self._barred or not self._is_well or self._clock.monotonic() >= self._thorough_at:
            return self.look()
        with self._looking:
            is_crowded = self._sockets.glance() and self._is_crowded()
        return self.look() if is_crowded else True

    def look(self) -> bool:
        """Looks at all connections once, ends those that have to go, and tells whether all was well."""
        now = self._clock.monotonic()
        with self._lock:
            self._barred = {host: until for host, until in self._barred.items() if until > now}
            barred = tuple(self._barred)
        with self._looking:
            self._thorough_at = now + THOROUGH
            was_well = self._look(barred)
            self._is_well = was_well and not self._is_crowded()
            return was_well

    def _is_crowded(self) -> bool:
        """Whether connections take the room that is kept for newcomers."""
        counts = Counter([each.port for each in self._sockets.connections])
        return any(counts[port] > _most_before(most, _ROOM) for port, most in self._most_at.items())

    def _look(self, barred: Sequence[str]) -> bool:
        connections = self._connections()
        if barred != self._filtered:
            self._sockets.filter(self._most_at, barred)
            self._filtered = barred
        leaving = [each for each in connections if barred and self._is_stranger_of(barred, each)]
        for port, most in self._most_at.items():
            here = [each for each in connections if each.port == port]
            leaving += self._surplus(here, most)
        self._end(leaving)
        return not (leaving or barred)

    def _watch(self) -> None:
        interval = _CALM
        while not self._stopped:
            self._alarm.wait(interval)
            self._alarm.clear()
            try:
                interval = _CALM if self.glance() else _ALARMED
            except Exception:  # noqa: BLE001 - a thread that ends would leave hosts barred for good
                _log.exception("cannot look at the connections")

    def _punish(self, peer: str) -> None:
        """Ends a connection now, since gRPC takes a long time with each of its calls, and bars its host."""
        host = host_of(peer)
        if not self._is_barred(host):
            offences = 0 if is_loopback(host) else self._offences.pop(host, 0)
            self._offences[host] = offences + 1
            if len(self._offences) > _REMEMBERED:
                del self._offences[next(iter(self._offences))]
            self._bar(host, min(BAR * 2**offences, _LONGEST_BAR))
        with self._looking:
            self._end([each for each in self._connections() if each.peer == peer])

    def _bar(self, host: str, seconds: float = BAR) -> None:
        if not is_address(host):
            return
        known = self._is_barred(host)
        with self._lock:
            self._barred[host] = max(self._barred.get(host, 0.0), self._clock.monotonic() + seconds)
        if not known:
            self._alarm.set()

    def _is_barred(self, host: str) -> bool:
        return self._barred.get(host, 0.0) > self._clock.monotonic()

    def _connections(self) -> Sequence[Connection]:
        """Those that are watched, and have not been ended."""
        self._sockets.look()
        connections = self._sockets.connections
        if connections:
            peers = {each.peer for each in connections}
            self._lines.keep(peers)
            self._strangers.keep(peers)
        self._ended &= {each.number for each in connections}
        return [each for each in connections if each.port in self._most_at and each.number not in self._ended]

    def _is_stranger_of(self, hosts: Container[str], connection: Connection) -> bool:
        return host_of(connection.peer) in hosts and not self._lines.knows(connection.peer)

    def _end(self, connections: Collection[Connection]) -> None:
        self._ended |= {each.number for each in connections}
        for each in connections:
            if end(each):
                self._on_end()

    def _surplus(self, connections: Sequence[Connection], most: int) -> Sequence[Connection]:
        if len(connections) <= _most_before(most, _ROOM):
            return ()
        excess = len(connections) - _most_before(most, _MADE_ROOM)
        groups: dict[str, list[Connection]] = defaultdict(list)
        for each in connections:
            groups[self._lines.of(each.peer)].append(each)
        return tuple(islice(largest_first(groups.values(), self._weight, self._may_go), excess))

    def _weight(self, connection: Connection) -> int:
        return 1 if self._lines.knows(connection.peer) else _WEIGHT_OF_UNKNOWN

    def _may_go(self, connection: Connection, is_last: bool) -> bool:  # noqa: FBT001 - as `largest_first` asks
        if self._lines.knows(connection.peer):
            return silent_for(connection) >= _SILENCE
        return not is_last or self._clock.monotonic() - connection.since >= _INTRODUCTION


def is_guarded(listener: Listener) -> bool:
    """Whether a guard can watch it: each of its connections has one caller only."""
    return not (listener.is_unix_socket or listener.has_shared_connections)


def _most_before(most: int, room: float) -> int:
    """How many connections there may be for a part of the most to be free."""
    return max(1, int(most * (1 - room)))


def largest_first(
    groups: Iterable[Sequence[Connection]],
    weight: Callable[[Connection], int],
    may_go: Callable[[Connection, bool], bool],
) -> Iterator[Connection]:
    """The order in which connections have to go: always the oldest one of the group that then has the most.

    Args:
        groups: The connections that belong together, each in some group.
        weight: What a connection counts in its group.
        may_go: Tells of a connection, and whether it would be the last of its group, whether it may go at all; it is
            asked when the connection's turn has come.
    """
    heap: list[tuple[int, float, int, list[Connection]]] = []
    for number, group in enumerate(groups):
        going = sorted(group, key=lambda each: each.since, reverse=True)
        size = sum(map(weight, going))
        heapq.heappush(heap, (-size, going[-1].since, number, going))
    while heap:
        size, _, number, going = heapq.heappop(heap)
        connection = going.pop()
        if going:
            heapq.heappush(heap, (size + weight(connection), going[-1].since, number, going))
        if may_go(connection, not going):
            yield connection
