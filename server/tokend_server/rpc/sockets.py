"""The TCP connections of gRPC's listeners, as the operating system sees them, and the way to end one.

gRPC says neither who is connected nor how to close a connection. Both are the process's own descriptors, so it can look
for itself. Where the system does not list them there seem to be no connections, and gRPC's own limits remain.
"""

import os
import socket
import stat
import struct
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tokend_server.rpc.host_filter import set_filter
from tokend_server.rpc.peers import peer_name

#: Where the system lists the descriptors of a process.
_DESCRIPTORS = "/dev/fd"

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


class Sockets:
    """The connections to some ports.

    Args:
        now: The monotonic time.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # What is no connection is remembered too, since telling costs more than all else here.
        self._seen: dict[tuple[int, int], Connection | None] = {}

    def look(self) -> None:
        """Takes note of the sockets that there are now."""
        self._seen = {key: self._seen[key] if key in self._seen else self._look_at(*key) for key in _sockets()}

    @property
    def connections(self) -> Sequence[Connection]:
        """The TCP connections of this process, whoever made them."""
        return [each for each in self._seen.values() if each and each.peer]

    def filter(self, ports: Container[int], hosts: Sequence[str]) -> None:
        """Has the kernel drop new connections of some hosts to the listeners of some ports; none: of no host."""
        for each in self._seen.values():
            if each and not each.peer and each.port in ports:
                with suppress(OSError), _duplicate(each.descriptor) as duplicate:
                    if os.fstat(duplicate.fileno()).st_ino == each.number:
                        set_filter(duplicate, hosts)

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


def _sockets() -> Iterator[tuple[int, int]]:
    """Descriptors of sockets, each with the number of its socket."""
    with suppress(OSError):
        for name in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - a path for each would cost more than all the rest
            try:
                status = os.fstat(int(name))
            except OSError:  # closed meanwhile
                continue
            if stat.S_ISSOCK(status.st_mode):
                yield int(name), status.st_ino
