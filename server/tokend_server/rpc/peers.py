"""The peers of connections, as gRPC names them, and the lines in which their calls wait."""

import ipaddress
import threading
from collections.abc import Container
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

#: The number of connections that are remembered; the next call of a forgotten connection identifies its caller again.
_MAX_REMEMBERED = 20_000

#: The smallest IPv6 network that is assigned to a subscriber (RFC 6177).
_IPV6_PREFIX = 64


def peer_name(address: tuple[str, int, *tuple[int, ...]]) -> str:
    """Returns gRPC's name of the peer with an address, as `getpeername` returns it for IPv4 and IPv6."""
    host, port = address[0].partition("%")[0].removeprefix("::ffff:"), address[1]
    return f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"


def host_of(peer: str) -> str:
    """Returns the host of a peer: its address, or the /64 network for IPv6; a unix socket counts as a host."""
    kind, _, address = peer.partition(":")
    if kind == "ipv4":
        return address.rpartition(":")[0]
    return _ipv6_network(address.rpartition(":")[0]) if kind == "ipv6" else peer


def is_address(host: str) -> bool:
    """Returns whether a host from `host_of` has an address: gRPC does not know the peer of a call that has ended."""
    try:
        ipaddress.ip_network(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Returns whether a host from `host_of` is a loopback address."""
    return host == "127.0.0.1" or host == _ipv6_network("::1")


class _Learned(NamedTuple):
    """The last caller on a connection, and the line of its calls."""

    caller: str
    line: str


class Lines:
    """Assigns connections to the lines in which their calls wait.

    Connections of one host share a line. Once a call has identified its caller, its connection moves to the line of
    that caller on that host.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Learned] = {}
        self._lock = threading.Lock()

    def of(self, peer: str) -> str:
        """Returns the line of a connection, as gRPC names its peer."""
        learned = self._lines.get(peer)
        return learned.line if learned else host_of(peer)

    def of_caller(self, peer: str, caller: str) -> str:
        """Returns the line of a connection if this caller was the last identified on it; empty otherwise."""
        learned = self._lines.get(peer)
        return learned.line if learned and learned.caller == caller else ""

    def knows(self, peer: str) -> bool:
        """Returns whether a call of a connection has identified its caller."""
        return peer in self._lines

    def learn(self, peer: str, caller: str) -> str:
        """Records the caller of a connection, and returns the connection's line."""
        learned = _Learned(caller, f"{caller} {host_of(peer)}")
        with self._lock:
            self._lines.pop(peer, None)
            if len(self._lines) >= _MAX_REMEMBERED:
                del self._lines[next(iter(self._lines))]
            self._lines[peer] = learned
        return learned.line

    def retain(self, peers: Container[str]) -> None:
        """Forgets all connections except some."""
        with self._lock:
            self._lines = {peer: learned for peer, learned in self._lines.items() if peer in peers}


@lru_cache(_MAX_REMEMBERED)
def _ipv6_network(host: str) -> str:
    address = unquote(host).strip("[]").partition("%")[0]
    try:
        return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    except ValueError:
        return host
