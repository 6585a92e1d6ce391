"""The peers of connections, as gRPC names them, and the lines that their calls wait in."""

import ipaddress
import threading
from collections.abc import Container
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

#: How many connections are remembered; of one that is forgotten, the next call is found to be a known caller's again.
_REMEMBERED = 20_000

#: What one subscriber of an IPv6 network has at least for itself (RFC 6177).
_IPV6_PREFIX = 64


def peer_name(address: tuple[str, int, *tuple[int, ...]]) -> str:
    """What gRPC calls the peer with an address, as `getpeername` gives it for IPv4 and IPv6."""
    host, port = address[0].partition("%")[0].removeprefix("::ffff:"), address[1]
    return f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"


def host_of(peer: str) -> str:
    """The host of a peer: its address, of IPv6 the first 64 bits; a unix socket is a host by itself."""
    kind, _, address = peer.partition(":")
    if kind == "ipv4":
        return address.rpartition(":")[0]
    return _ipv6_network(address.rpartition(":")[0]) if kind == "ipv6" else peer


def is_address(host: str) -> bool:
    """Whether a host, as `host_of` names it, has an address: gRPC no longer knows the peer of a call that is over."""
    try:
        ipaddress.ip_network(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a host, as `host_of` names it, is this machine by its loopback address."""
    return host == "127.0.0.1" or host == _ipv6_network("::1")


class _Learned(NamedTuple):
    """Who was the last to make a call of a connection, and in which line its calls wait."""

    caller: str
    line: str


class Lines:
    """Which line the calls of a connection wait in.

    Connections of one host share a line. When a call of one has shown who makes it, the connection goes over to the
    line of that caller on that host.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Learned] = {}
        self._lock = threading.Lock()

    def of(self, peer: str) -> str:
        """The line of a connection, as gRPC calls its peer."""
        learned = self._lines.get(peer)
        return learned.line if learned else host_of(peer)

    def of_caller(self, peer: str, caller: str) -> str:
        """The line of a connection, if this caller was the last to show who it is on it; else empty."""
        learned = self._lines.get(peer)
        return learned.line if learned and learned.caller == caller else ""

    def knows(self, peer: str) -> bool:
        """Whether a call of a connection has shown who makes it."""
        return peer in self._lines

    def learn(self, peer: str, caller: str) -> str:
        """Takes note of the caller of a connection, and tells its line."""
        if known := self.of_caller(peer, caller):
            return known
        learned = _Learned(caller, f"{caller} {host_of(peer)}")
        with self._lock:
            self._lines.pop(peer, None)
            if len(self._lines) >= _REMEMBERED:
                del self._lines[next(iter(self._lines))]
            self._lines[peer] = learned
        return learned.line

    def keep(self, peers: Container[str]) -> None:
        """Forgets all connections but some."""
        with self._lock:
            self._lines = {peer: learned for peer, learned in self._lines.items() if peer in peers}


@lru_cache(_REMEMBERED)
def _ipv6_network(host: str) -> str:
    address = unquote(host).strip("[]").partition("%")[0]
    try:
        return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    except ValueError:
        return host
