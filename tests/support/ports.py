"""Ports of the loopback for servers whose port is written down before they start."""

import random
import socket

#: Below the ports that the kernel gives to clients and for port 0: those are taken at any moment.
_PORTS = range(15_000, 32_000)


def free_port() -> int:
    """A port without a listener."""
    (port,) = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """Different ports without a listener."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as probe:
            if port not in found and probe.connect_ex(("127.0.0.1", port)):
                found.append(port)
    return found


def can_connect(address: str) -> bool:
    """Whether a listener takes connections: one that bars this host leaves them without an answer."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 0.2).close()
    except TimeoutError:
        return False
    return True
