"""The TCP connections of gRPC's listeners, as the operating system sees them, and the way to end one.

gRPC says neither who is connected nor how to close a connection. Both are the process's own descriptors, so it can look
for itself. Where the system does not list them there seem to be no connections, and gRPC's own limits remain.
"""

import os
import socket
import stat
import struct
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from tokend_server.rpc.host_filter import set_filter
from tokend_server.rpc.peers import peer_name

#: Where the system lists the descriptors of a process.
_DESCRIPTORS = "/dev/fd"

#: Where Linux tells how many they are, since 6.2, as the size of the directory; before that it is 0.
_COUNTED = "/proc/self/fd"

#: Where `struct tcp_info` of Linux has the milliseconds since data were received (`linux/tcp.h`).
_LAST_DATA_RECEIVED = 52
_MILLISECONDS = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection of a listener, or the listener itself.

    Attributes:
        peer: Its peer, as gRPC names it; empty for a listener.
        port: The listener's port.
        number: Of its socket, which no other has as long as it is open.
        descriptor: Of its socket; another may have it by now.
        since: Monotonic reading when it was first seen.
    """

    peer: str
    port: int
    number: int
    descriptor: int
    since: float


class _Seen(NamedTuple):
    """The socket that a descriptor had when it was looked at: its number, and what is known of a connection's."""

    number: int
    connection: Connection | None


class Sockets:
    """The connections to some ports.

    Args:
        now: The monotonic time.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # Sockets that are no connections are remembered too, since telling costs more than all else here.
        self._seen: dict[int, _Seen] = {}
        self._count = 0

    def look(self) -> None:
        """Takes note of the sockets that there are now."""
        self._count = _descriptor_count()
        self._seen = dict(self._looked_at(_descriptors()))

    def glance(self) -> bool:
        """Takes note of descriptors that are new, and of those that are gone, and tells whether there were any.

        Of one that was closed and given out again since the last time, only `look` takes note.
        """
        count = _descriptor_count()
        if count and count == self._count:
            return False
        self._count = count
        free = _lowest_free()  # the list of names is read by it, so that it stands there whether it is used or not
        names = frozenset(_descriptors()) - {free}
        still = {descriptor: seen for descriptor, seen in self._seen.items() if descriptor in names}
        come = dict(self._looked_at((names - still.keys()) | {free}))
        changed = len(still) < len(self._seen) or bool(come)
        self._seen = still | come
        return changed

    @property
    def connections(self) -> Sequence[Connection]:
        """The TCP connections of this process, whoever made them."""
        return [each for _, each in self._seen.values() if each and each.peer]

    def filter(self, ports: Container[int], hosts: Sequence[str]) -> None:
        """Has the kernel drop new connections of some hosts to the listeners of some ports; none: of no host."""
        for _, each in self._seen.values():
            if each and not each.peer and each.port in ports:
                with suppress(OSError), _duplicate(each.descriptor) as duplicate:
                    if os.fstat(duplicate.fileno()).st_ino == each.number:
                        set_filter(duplicate, hosts)

    def _looked_at(self, descriptors: Iterable[int]) -> Iterator[tuple[int, _Seen]]:
        """Those of them that are sockets, looked at closely only if they are not what they were."""
        for descriptor in descriptors:
            number = _socket_number(descriptor)
            if number is not None:
                seen = self._seen.get(descriptor)
                if seen is None or seen.number != number:
                    seen = _Seen(number, self._look_at(descriptor, number))
                yield descriptor, seen

    def _look_at(self, descriptor: int, number: int) -> Connection | None:
        with suppress(OSError), _duplicate(descriptor) as duplicate:
            if duplicate.family in {socket.AF_INET, socket.AF_INET6} and duplicate.type == socket.SOCK_STREAM:
                listens = duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                peer = "" if listens else peer_name(duplicate.getpeername())
                return Connection(peer, duplicate.getsockname()[1], number, descriptor, self._now())
        return None


def end(connection: Connection) -> bool:
    """Ends a connection, as its peer could: gRPC sees that no more comes; tells whether it was still there."""
    with suppress(OSError), _duplicate(connection.descriptor) as duplicate:
        if os.fstat(duplicate.fileno()).st_ino == connection.number:
            duplicate.shutdown(socket.SHUT_RDWR)
            return True
    return False


def silent_for(connection: Connection) -> float:
    """Seconds since a connection's peer has sent data; 0 where that is not known."""
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return 0.0
    with suppress(OSError, struct.error), _duplicate(connection.descriptor) as duplicate:
        if os.fstat(duplicate.fileno()).st_ino == connection.number:
            information = duplicate.getsockopt(socket.IPPROTO_TCP, option, _LAST_DATA_RECEIVED + _MILLISECONDS.size)
            (milliseconds,) = _MILLISECONDS.unpack_from(information, _LAST_DATA_RECEIVED)
            return float(milliseconds) / 1000
    return 0.0


def _duplicate(descriptor: int) -> socket.socket:
    """The same socket by another descriptor, which stays what it is while gRPC may close its own."""
    return socket.socket(fileno=os.dup(descriptor))


def _descriptor_count() -> int:
    """How many descriptors there are; 0 where the system does not count them."""
    try:
        return os.stat(_COUNTED).st_size  # noqa: PTH116 - as below
    except OSError:
        return 0


def _descriptors() -> Sequence[int]:
    try:
        return [*map(int, os.listdir(_DESCRIPTORS))]  # noqa: PTH208 - a path for each would cost more than all the rest
    except OSError:
        return ()


def _lowest_free() -> int:
    """The number that the next descriptor gets; -1 where none can be opened."""
    try:
        descriptor = os.open(_DESCRIPTORS, os.O_RDONLY)
    except OSError:
        return -1
    os.close(descriptor)
    return descriptor


def _socket_number(descriptor: int) -> int | None:
    """The number of a descriptor's socket; None of what is none."""
    try:
        status = os.fstat(descriptor)
    except OSError:  # closed meanwhile
        return None
    return status.st_ino if stat.S_ISSOCK(status.st_mode) else None
