"""The TCP connections of gRPC's listeners, as the operating system lists them, and the way to close one.

gRPC has no API to list or to close connections. They are descriptors of this process, so it can list them itself. On
systems that do not list descriptors there seem to be no connections, and only gRPC's own limits apply.
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

#: The directory in which the system lists the descriptors of the process.
_DESCRIPTORS = "/dev/fd"

#: The directory whose size is the number of descriptors (Linux 6.2 and later; 0 before).
_COUNTED = "/proc/self/fd"

#: The offset in `struct tcp_info` of the milliseconds since data were received (`linux/tcp.h`).
_LAST_DATA_RECEIVED = 52
_MILLISECONDS = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection of a listener, or the listener itself.

    Attributes:
        peer: Its peer, as gRPC names it; empty for a listener.
        port: The listener's port.
        number: The number of its socket, which is unique as long as it is open.
        descriptor: The descriptor of its socket, which may have been reused since.
        since: Monotonic time when it was first seen.
    """

    peer: str
    port: int
    number: int
    descriptor: int
    since: float


class _Seen(NamedTuple):
    """The socket of a descriptor when it was last checked: its number, and its connection if it has one."""

    number: int
    connection: Connection | None


class Sockets:
    """The connections to some ports.

    Args:
        now: The monotonic time.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        # Other sockets are remembered too, because finding out costs more than everything else here.
        self._seen: dict[int, _Seen] = {}
        self._count = 0

    def refresh(self) -> None:
        """Updates the list of sockets."""
        self._count = _descriptor_count()
        self._seen = dict(self._examined(_descriptors()))

    def refresh_changed(self) -> bool:
        """Adds new descriptors, removes closed ones, and returns whether there were any.

        Only `refresh` notices a descriptor that was closed and reused since the last check.
        """
        count = _descriptor_count()
        if count and count == self._count:
            return False
        self._count = count
        free = _lowest_free()  # reading the list of names uses it, so the list contains it in any case
        names = frozenset(_descriptors()) - {free}
        still = {descriptor: seen for descriptor, seen in self._seen.items() if descriptor in names}
        come = dict(self._examined((names - still.keys()) | {free}))
        changed = len(still) < len(self._seen) or bool(come)
        self._seen = still | come
        return changed

    @property
    def connections(self) -> Sequence[Connection]:
        """The TCP connections of this process, whichever side opened them."""
        return [each for _, each in self._seen.values() if each and each.peer]

    def filter(self, ports: Container[int], hosts: Sequence[str]) -> None:
        """Makes the kernel drop new connections of some hosts, or of none, to the listeners of some ports."""
        for _, each in self._seen.values():
            if each and not each.peer and each.port in ports:
                with suppress(OSError), _duplicate(each.descriptor) as duplicate:
                    if os.fstat(duplicate.fileno()).st_ino == each.number:
                        set_filter(duplicate, hosts)

    def _examined(self, descriptors: Iterable[int]) -> Iterator[tuple[int, _Seen]]:
        """Yields the descriptors that are sockets, and examines only those that have changed."""
        for descriptor in descriptors:
            number = _socket_number(descriptor)
            if number is not None:
                seen = self._seen.get(descriptor)
                if seen is None or seen.number != number:
                    seen = _Seen(number, self._examine(descriptor, number))
                yield descriptor, seen

    def _examine(self, descriptor: int, number: int) -> Connection | None:
        with suppress(OSError), _duplicate(descriptor) as duplicate:
            if duplicate.family in {socket.AF_INET, socket.AF_INET6} and duplicate.type == socket.SOCK_STREAM:
                listens = duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                peer = "" if listens else peer_name(duplicate.getpeername())
                return Connection(peer, duplicate.getsockname()[1], number, descriptor, self._now())
        return None


def shut_down(connection: Connection) -> bool:
    """Closes a connection as if its peer had: gRPC sees the end of its data. Returns whether it was still open."""
    with suppress(OSError), _duplicate(connection.descriptor) as duplicate:
        if os.fstat(duplicate.fileno()).st_ino == connection.number:
            duplicate.shutdown(socket.SHUT_RDWR)
            return True
    return False


def idle_seconds(connection: Connection) -> float:
    """Returns the seconds since a connection's peer last sent data; 0 if that is not known."""
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
    """Duplicates a descriptor, so that it stays the same socket even if gRPC closes its own."""
    return socket.socket(fileno=os.dup(descriptor))


def _descriptor_count() -> int:
    """Returns the number of descriptors; 0 if the system does not count them."""
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
    """Returns the number of the next descriptor; -1 if none can be opened."""
    try:
        descriptor = os.open(_DESCRIPTORS, os.O_RDONLY)
    except OSError:
        return -1
    os.close(descriptor)
    return descriptor


def _socket_number(descriptor: int) -> int | None:
    """Returns the number of a descriptor's socket; None if it is not a socket."""
    try:
        status = os.fstat(descriptor)
    except OSError:  # closed meanwhile
        return None
    return status.st_ino if stat.S_ISSOCK(status.st_mode) else None
