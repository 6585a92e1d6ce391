"""Ports that are the same at each start of a service without being stored."""

import hashlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence

#: Below the kernel's ephemeral ports (ip_local_port_range of ip(7)).
_PORTS = range(15_000, 32_000)

_BYTES_OF_A_PORT = 4


def stable_addresses(name: str, listeners: Sequence[str], is_free: Callable[[int], bool]) -> list[str]:
    """Returns a loopback address for each listener, the same each time for a name as long as its ports are free.

    Args:
        name: The name of the service.
        listeners: Their names.
        is_free: Returns whether a port is free.

    Returns:
        HOST:PORT, in the order of the listeners; port 0 if none of a listener's eight ports is free.
    """
    ports: list[int] = []
    for listener in listeners:
        free = (port for port in _candidates(f"{name}\0{listener}") if port not in ports and is_free(port))
        ports.append(next(free, 0))
    return [f"127.0.0.1:{port}" for port in ports]


def is_free(port: int) -> bool:
    """Returns whether a loopback port is free now."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _candidates(name: str) -> Iterator[int]:
    digest = hashlib.sha256(os.fsencode(name)).digest()
    for start in range(0, len(digest), _BYTES_OF_A_PORT):
        yield _PORTS[int.from_bytes(digest[start : start + _BYTES_OF_A_PORT], "big") % len(_PORTS)]
