"""The addresses of listeners: `HOST:PORT`, or `unix:PATH` for gRPC, with the same syntax on every listener.

A host is an IPv4 address, an IPv6 address in brackets, or a name. `0.0.0.0` and `[::]` both mean all addresses of the
machine, IPv4 and IPv6; `localhost` means 127.0.0.1 and ::1. Port 0 selects a free port.
"""

import ipaddress
import os
import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from tokend_server.config.paths import socket_path
from tokend_server.hosts import is_loopback

UNIX = "unix:"

_EXAMPLE = "must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080"
_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not listened on
_LOCALHOST = frozenset({"127.0.0.1", "::1"})


def host_and_port(address: str) -> tuple[str, int]:
    """Splits `host:port`, with an IPv6 host in brackets.

    Raises:
        ValueError: It has another form.
    """
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:  # the text contains the address
        host, port = None, None
    if not host or port is None or parts.netloc != address or parts.username is not None:
        raise ValueError(_tcp_problem(address))
    _check_host(host, bracketed=address.startswith("["))
    return host, port


def _tcp_problem(address: str) -> str:
    """Returns why an address is not `HOST:PORT`; repeats it only if it cannot contain a secret."""
    if re.fullmatch(r":\d{1,5}", address, re.ASCII):
        return f"names no host: write [::]{address} for all addresses of the machine, or 127.0.0.1{address}"
    if address.startswith("unix"):
        return f"{_EXAMPLE}; only grpc.listen takes unix sockets"
    if "," in address:
        return f"{_EXAMPLE}, and only one"
    if "://" in address:
        return f"{_EXAMPLE}, without a scheme"
    if address.count(":") > 1 and "[" not in address:
        return f"{_EXAMPLE}: an IPv6 address needs brackets"
    return _EXAMPLE


def _check_host(host: str, *, bracketed: bool) -> None:
    """Checks that a host is valid and unambiguous."""
    if host == "*":
        raise ValueError("must name a host: [::] means all addresses of the machine")
    if bracketed:
        if ipaddress.IPv6Address(host).ipv4_mapped:  # urlsplit has checked that it is an address
            raise ValueError("must have the IPv4 address, not the IPv4-mapped IPv6 address")
    elif re.fullmatch(r"[\d.]+|0[xX].*", host):
        # inet_aton(3) accepts 127.1 and 0 as addresses.
        if not _ip_address(host):
            raise ValueError("must have four numbers in an IPv4 address, as in 127.0.0.1:8080")
    elif not _NAME.fullmatch(host):
        raise ValueError("must have a host name of letters, digits, hyphens and dots")


def _ip_address(host: str) -> str | None:
    """Returns the canonical form of an IP address; None for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def is_wildcard(host: str) -> bool:
    """Returns whether a host means all addresses of the machine."""
    return _ip_address(host) in _WILDCARDS


def is_local(address: str) -> bool:
    """Returns whether only this machine can reach an address: a unix socket, or a loopback host."""
    return address.startswith(UNIX) or is_loopback(host_and_port(address)[0])


def tcp_address(address: str) -> str:
    """Returns the address of a TCP listener.

    Raises:
        ValueError: It is not valid.
    """
    host_and_port(address)
    return address


def grpc_address(address: str) -> str:
    """Returns the address of a gRPC listener, with the expanded path of a unix socket.

    Raises:
        ValueError: It is not valid.
    """
    if address.startswith("unix-abstract:"):
        raise ValueError("must not be an abstract socket, which all users of the machine can access: write unix:PATH")
    if not address.startswith(UNIX):
        return tcp_address(address)
    path = address.removeprefix(UNIX)
    if path in {"", "/", "//", "///"}:
        raise ValueError("must name the socket, such as unix:/run/tokend.sock")
    if path.startswith("//") and not path.startswith("///"):
        raise ValueError("must be unix:PATH or unix:///PATH")
    return UNIX + socket_path(re.sub("^/+", "/", path))


def address_conflicts(listeners: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yields the conflicts between addresses, as `setting: reason`.

    Args:
        listeners: The settings and their addresses.
    """
    for number, (setting, address) in enumerate(listeners):
        for other_setting, other in listeners[:number]:
            if not _has_conflict(address, other):
                continue
            if address == other:
                yield f"{setting}: {address} is already that of {other_setting}"
            else:
                reason = _conflict_reason(address, other)
                yield f"{setting}: {address} conflicts with {other} of {other_setting}: {reason}"


def _has_conflict(one: str, other: str) -> bool:
    if one.startswith(UNIX) or other.startswith(UNIX):
        return _socket(one) == _socket(other)
    (host, port), (other_host, other_port) = host_and_port(one), host_and_port(other)
    return 0 != port == other_port and (
        is_wildcard(host) or is_wildcard(other_host) or not _hosts(host).isdisjoint(_hosts(other_host))
    )


def _socket(address: str) -> str | None:
    """Returns the normalized path of a unix socket; None for other addresses."""
    return os.path.realpath(address.removeprefix(UNIX)) if address.startswith(UNIX) else None


def _hosts(host: str) -> frozenset[str]:
    return _LOCALHOST if host == "localhost" else frozenset({_ip_address(host) or host})


def _conflict_reason(one: str, other: str) -> str:
    if one.startswith(UNIX):
        return "both are the same socket"
    wildcards = [each for each in (one, other) if is_wildcard(host_and_port(each)[0])]
    if wildcards:
        return f"{' and '.join(wildcards)} mean{'s' * (len(wildcards) == 1)} all addresses, IPv4 and IPv6"
    return "both are the same address"
