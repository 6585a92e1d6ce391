"""Reserves room for new connections, and closes harmful connections."""

import heapq
import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from itertools import islice

from tokend_server.clock import Clock
from tokend_server.config import Listener
from tokend_server.rpc.peers import Lines, host_of, is_address, is_loopback
from tokend_server.rpc.sockets import Connection, Sockets, idle_seconds, shut_down
from tokend_server.rpc.unidentified_calls import UnidentifiedCalls

_log = logging.getLogger(__name__)

#: The share of the maximum number of connections that is reserved for new ones, and the share freed if they use it.
_ROOM, _MADE_ROOM = 1 / 8, 1 / 4

#: The weight of a connection whose caller is not known, relative to others.
_WEIGHT_OF_UNKNOWN = 4

#: Seconds within which the only connection of a host must identify its caller.
_IDENTIFICATION_TIMEOUT = 1.0

#: Seconds without data after which a known caller's connection may be closed.
_IDLE_SECONDS = 10.0

#: Seconds for which a harmful host gets no new connection. When a SYN is dropped, TCP clients retry after one second
#: and again after three.
BAR = 2.0

#: The maximum duration of a bar; it doubles with each call that is an attack by itself. It does not double for the
#: loopback address, from which sidecar proxies and the server's own probes call.
_MAX_BAR = 64.0

#: The number of hosts whose attacks are remembered.
_MAX_REMEMBERED = 10_000

#: The rate in calls a second, and the burst, of a host on connections that have not identified their caller.
_UNIDENTIFIED_CALLS, _UNIDENTIFIED_BURST = 100.0, 1000

#: The minimum average size of a metadata field, in bytes; smaller ones are an attack. A client that has not
#: acknowledged the server's limits can repeat a field with one octet, and the server's cost is per field.
_MIN_FIELD_BYTES = 8

#: Seconds between two checks in normal operation, and while connections are closed or hosts are barred.
_CHECK_INTERVAL, _ALARM_INTERVAL = 0.1, 0.05

#: Seconds between two checks of all connections in normal operation. In between only new descriptors are checked, so
#: that idle connections cost almost nothing; a new connection that reuses a descriptor is not noticed.
FULL_CHECK_INTERVAL = 2.0


class ConnectionGuard:
    """Guards the connections of listeners.

    When connections use the room that is reserved for new ones, some are closed: those of the hosts and callers with
    the most connections. Connections whose caller is not known are closed long before others.

    Args:
        max_metadata_bytes: The maximum size of a call's metadata, in bytes.
        on_end: Called for each connection that was closed.
        clock: The clock.
    """

    def __init__(self, max_metadata_bytes: int, on_end: Callable[[], None], clock: Clock) -> None:
        self._max_fields = max_metadata_bytes // _MIN_FIELD_BYTES
        self._lines = Lines()
        self._on_end = on_end
        self._clock = clock
        self._unidentified = UnidentifiedCalls(_UNIDENTIFIED_CALLS, _UNIDENTIFIED_BURST, self._bar, clock)
        self._sockets = Sockets(clock.monotonic)
        self._max_connections_at: Counter[int] = Counter()
        self._ended: frozenset[int] = frozenset()
        self._barred: dict[str, float] = {}
        self._offences: dict[str, int] = {}
        self._filtered: Sequence[str] = ()
        self._lock = threading.Lock()
        self._checking = threading.Lock()
        self._full_check_at = 0.0
        self._is_well = False
        self._stopped = False
        self._alarm = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="grpc-connections", daemon=True)

    def add_listener(self, port: int, max_connections: int) -> None:
        """Adds a listener, by its port and its maximum number of connections; to be called before `start`."""
        self._max_connections_at[port] += max_connections

    def start(self) -> None:
        """Starts the thread that checks connections."""
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread that checks connections."""
        self._stopped = True
        self._alarm.set()
        if self._thread.is_alive():
            self._thread.join()

    def line_of(self, peer: str, fields: int) -> str:
        """Returns the line in which a call waits, and bars its host if the call is an attack.

        Args:
            peer: The call's connection, as gRPC names its peer.
            fields: The number of fields of its metadata.
        """
        if fields > self._max_fields:
            self._close_and_bar(peer)
        elif not self._lines.knows(peer):
            self._unidentified.count_call(peer)
        return self._lines.of(peer)

    def line_of_anonymous(self, peer: str, fields: int) -> str:
        """As `line_of`, on listeners that identify no callers: each connection has its own line."""
        if fields > self._max_fields:
            self._close_and_bar(peer)
        return peer

    def record_abandoned(self, peer: str, line: str) -> bool:
        """Records that a call ended while it waited in a line, and returns whether it may have to keep its place.

        A call in the line of its host has not identified its caller: it counts as unidentified, and its place would
        delay other new connections.
        """
        if line != host_of(peer):
            return True
        self._unidentified.count_abandoned(peer)
        return False

    def learn(self, peer: str, caller: str) -> str:
        """Records the caller of a connection, and returns the connection's line."""
        if line := self._lines.of_caller(peer, caller):
            return line
        if not self._lines.knows(peer):
            self._unidentified.discount(peer)
        return self._lines.learn(peer, caller)

    def check(self) -> bool:
        """Checks new connections, and all connections if that is due; returns whether no action was needed."""
        if self._barred or not self._is_well or self._clock.monotonic() >= self._full_check_at:
            return self.check_all()
        with self._checking:
            is_crowded = self._sockets.refresh_changed() and self._is_crowded()
        return self.check_all() if is_crowded else True

    def check_all(self) -> bool:
        """Checks all connections and closes some if necessary; returns whether no action was needed."""
        now = self._clock.monotonic()
        with self._lock:
            self._barred = {host: until for host, until in self._barred.items() if until > now}
            barred = tuple(self._barred)
        with self._checking:
            self._full_check_at = now + FULL_CHECK_INTERVAL
            was_well = self._check_connections(barred)
            self._is_well = was_well and not self._is_crowded()
            return was_well

    def _is_crowded(self) -> bool:
        """Returns whether connections use the room that is reserved for new ones."""
        counts = Counter([each.port for each in self._sockets.connections])
        return any(
            counts[port] > _without_room(max_connections, _ROOM)
            for port, max_connections in self._max_connections_at.items()
        )

    def _check_connections(self, barred: Sequence[str]) -> bool:
        connections = self._connections()
        if barred != self._filtered:
            self._sockets.filter(self._max_connections_at, barred)
            self._filtered = barred
        leaving = [each for each in connections if barred and self._is_unidentified_from(barred, each)]
        for port, max_connections in self._max_connections_at.items():
            here = [each for each in connections if each.port == port]
            leaving += self._surplus(here, max_connections)
        self._end(leaving)
        return not (leaving or barred)

    def _watch(self) -> None:
        interval = _CHECK_INTERVAL
        while not self._stopped:
            self._alarm.wait(interval)
            self._alarm.clear()
            try:
                interval = _CHECK_INTERVAL if self.check() else _ALARM_INTERVAL
            except Exception:  # noqa: BLE001 - if the thread ended, hosts would stay barred permanently
                _log.exception("connections cannot be checked")

    def _close_and_bar(self, peer: str) -> None:
        """Closes a connection at once, because each of its calls costs gRPC a lot of time, and bars its host."""
        host = host_of(peer)
        if not self._is_barred(host):
            offences = 0 if is_loopback(host) else self._offences.pop(host, 0)
            self._offences[host] = offences + 1
            if len(self._offences) > _MAX_REMEMBERED:
                del self._offences[next(iter(self._offences))]
            self._bar(host, min(BAR * 2**offences, _MAX_BAR))
        with self._checking:
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
        """Returns the guarded connections that have not been closed."""
        self._sockets.refresh()
        connections = self._sockets.connections
        if connections:
            peers = {each.peer for each in connections}
            self._lines.retain(peers)
            self._unidentified.retain(peers)
        self._ended &= {each.number for each in connections}
        return [
            each for each in connections if each.port in self._max_connections_at and each.number not in self._ended
        ]

    def _is_unidentified_from(self, hosts: Container[str], connection: Connection) -> bool:
        return host_of(connection.peer) in hosts and not self._lines.knows(connection.peer)

    def _end(self, connections: Collection[Connection]) -> None:
        self._ended |= {each.number for each in connections}
        for each in connections:
            if shut_down(each):
                self._on_end()

    def _surplus(self, connections: Sequence[Connection], max_connections: int) -> Sequence[Connection]:
        if len(connections) <= _without_room(max_connections, _ROOM):
            return ()
        excess = len(connections) - _without_room(max_connections, _MADE_ROOM)
        groups: dict[str, list[Connection]] = defaultdict(list)
        for each in connections:
            groups[self._lines.of(each.peer)].append(each)
        return tuple(islice(largest_first(groups.values(), self._weight, self._may_close), excess))

    def _weight(self, connection: Connection) -> int:
        return 1 if self._lines.knows(connection.peer) else _WEIGHT_OF_UNKNOWN

    def _may_close(self, connection: Connection, is_last: bool) -> bool:  # noqa: FBT001 - as `largest_first` asks
        if self._lines.knows(connection.peer):
            return idle_seconds(connection) >= _IDLE_SECONDS
        return not is_last or self._clock.monotonic() - connection.since >= _IDENTIFICATION_TIMEOUT


def is_guarded(listener: Listener) -> bool:
    """Returns whether a listener can be guarded: each of its connections has only one caller."""
    return not (listener.is_unix_socket or listener.has_shared_connections)


def _without_room(max_connections: int, room: float) -> int:
    """Returns the number of connections that leaves a share of the maximum free."""
    return max(1, int(max_connections * (1 - room)))


def largest_first(
    groups: Iterable[Sequence[Connection]],
    weight: Callable[[Connection], int],
    may_close: Callable[[Connection, bool], bool],
) -> Iterator[Connection]:
    """Yields connections in the order in which they are closed: each time the oldest of the largest remaining group.

    Args:
        groups: The connections by group.
        weight: Returns the weight of a connection in its group.
        may_close: Takes a connection, and whether it is the last of its group, and returns whether it may be closed; it
            is called when the connection would be next.
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
        if may_close(connection, not going):
            yield connection
