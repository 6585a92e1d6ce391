"""The health server with slow clients."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from tokend_client.agent.configuration import Health
from tokend_client.agent.health import HealthServer

#: More than the concurrent connections.
CLIENTS = 20


@pytest.fixture
def server() -> Iterator[HealthServer]:
    running = HealthServer(Health(listen="[::1]:0"), list, lambda: b"", request_timeout=3)
    running.start()
    yield running
    running.close()


def connected(server: HealthServer) -> socket.socket:
    host, _, port = server.address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)))


def test_silent_clients_do_not_block_others_for_long(server: HealthServer) -> None:
    silent = [connected(server) for _ in range(CLIENTS)]
    assert httpx.get(f"http://{server.address}/livez", trust_env=False, timeout=60).status_code == 200
    for each in silent:
        each.close()


def test_single_bytes_do_not_extend_the_timeout(server: HealthServer) -> None:
    with connected(server) as client:
        client.sendall(b"GET /livez HTTP/1.0\r\nx: ")
        # A reset ends it, too.
        with suppress(ConnectionError):
            while not select.select([client], [], [], 0.02)[0]:
                client.sendall(b"x")
            assert client.recv(1) == b""


def test_a_server_ends_while_clients_are_silent(server: HealthServer) -> None:
    silent = [connected(server) for _ in range(CLIENTS)]
    ending = threading.Thread(target=server.close)
    ending.start()
    ending.join(60)
    assert not ending.is_alive()
    for each in silent:
        each.close()
