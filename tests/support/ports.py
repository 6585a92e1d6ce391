"""Ports of the loopback for servers whose port must be known before they start."""

import random
import socket

#: Below the kernel's ephemeral ports, which may be taken at any moment.
_PORTS = range(15_000, 32_000)


def free_port() -> int:
    """Returns a port without a listener."""
    (port,) = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """Returns different ports without a listener."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as probe:
            if port not in found and probe.connect_ex(("127.0.0.1", port)):
                found.append(port)
    return found


def can_connect(address: str) -> bool:
    """Returns whether a listener accepts connections: one that blocks this host does not respond."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 0.2).close()
    except TimeoutError:
        return False
    return True
