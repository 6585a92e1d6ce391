"""Calls that gRPC has read, and that its serving thread has not got to yet."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from tests.attacks import http2
from tests.support.grpc_service import PATIENCE, grpc_service

from tokend_server.rpc.worker_pool import WorkerPool

#: Of each connection, as many as it may make at once; together more than gRPC keeps by default.
CONNECTIONS, CALLS = 160, 32

PATH = "/tokend.v1.DeveloperIdentityService/LookupDeveloperIdentity"


@contextmanager
def held_serving_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Has gRPC's serving thread wait with the next call that it hands over, until the block ends."""
    submit, is_held, release = WorkerPool.submit_in_line, threading.Event(), threading.Event()

    def wait_and_submit(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as it is
        is_held.set()
        release.wait(PATIENCE)
        return submit(*args, **kwargs)

    monkeypatch.setattr(WorkerPool, "submit_in_line", wait_and_submit)
    try:
        yield is_held
    finally:
        release.set()


def make_calls(connection: socket.socket) -> None:
    """Begins calls whose messages never come, and returns when gRPC has read them."""
    block = http2.request_block(PATH)
    streams = range(1, 2 * CALLS, 2)
    calls = b"".join(b"".join(http2.header_frames(stream, block)) for stream in streams)
    ping = http2.frame(http2.PING, 0, 0, b"has-read")
    connection.sendall(http2.PREFACE + http2.settings() + http2.settings_ack() + calls + ping)
    answer = http2.frame(http2.PING, http2.ACK, 0, b"has-read")
    received = b""
    while answer not in received:
        received += connection.recv(65_536)


def test_a_call_behind_thousands_of_connections_that_have_gone_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    with grpc_service() as service:
        service.call("LookupDeveloperIdentity")
        host, port = service.address.rsplit(":", 1)
        with held_serving_thread(monkeypatch) as is_held:
            with ExitStack() as gone:
                for _ in range(CONNECTIONS):
                    make_calls(gone.enter_context(socket.create_connection((host, int(port)), PATIENCE)))
            assert is_held.wait(PATIENCE)
            call = service.begin("LookupDeveloperIdentity")
        assert call.result() == service.call("LookupDeveloperIdentity")
