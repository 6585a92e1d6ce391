"""Ports of the loopback for servers whose port must be known before they start."""

import random
import socket
import time
from pathlib import Path
from subprocess import Popen

import pytest

#: Below the kernel's ephemeral ports, which may be taken at any moment.
_PORTS = range(15_000, 32_000)

_TIMEOUT = 60


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


def wait_for_listener(port: int, process: Popen[bytes], log: Path) -> None:
    """Waits until a process listens on a port; fails with its log if it ends or does not listen in time."""
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    pytest.fail(f"{process.args!r} does not listen: {log.read_text(errors='replace')}")
