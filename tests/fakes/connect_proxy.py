"""An HTTP proxy that supports CONNECT (RFC 9110, section 9.3.6), and connects every request to this machine."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.fakes.http_connections import HttpRequest, Listener, read_request

#: How a proxy handles a request: returns the status line, or None to hang.
Answer = Callable[[HttpRequest], str | None]

CONNECTED = "200 Connection established"


class ConnectProxy:
    """Serves while the context manager is active.

    Args:
        answer: Handles each request.

    Attributes:
        requests: The received requests.
        hanging: Set once a request hangs.
    """

    def __init__(self, answer: Answer = lambda _request: CONNECTED) -> None:
        self._answer = answer
        self._listener = Listener(self._serve)
        self._ended = threading.Event()
        self.requests: list[HttpRequest] = []
        self.hanging = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.port}"

    @property
    def targets(self) -> list[tuple[str, str]]:
        """The methods and targets of the requests."""
        return [(request.method, request.target) for request in self.requests]

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._listener.stop()

    def _serve(self, connection: socket.socket, _number: int) -> None:
        request = read_request(connection)
        self.requests.append(request)
        status = self._answer(request)
        if status is None:
            self.hanging.set()
            self._ended.wait()
            return
        connection.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
        if status == CONNECTED:
            port = int(request.target.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as beyond:
                back = threading.Thread(target=_copy, args=(beyond, connection))
                back.start()
                _copy(connection, beyond)
                back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while octets := source.recv(65_536):
            sink.sendall(octets)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
