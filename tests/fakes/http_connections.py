"""HTTP/1.1 on plain sockets, with a thread for each connection, for responses that no server library would send."""

import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

_BACKLOG = 128


@dataclass(frozen=True)
class HttpRequest:
    """A request as it arrived, its text decoded as Latin-1."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes


def read_request(connection: socket.socket) -> HttpRequest:
    """Reads a request whose body has a `content-length`.

    Raises:
        ConnectionError: The connection ends before the request.
    """
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(connection)
    start, _, body = data.partition(b"\r\n\r\n")
    request_line, *lines = start.decode("latin-1").split("\r\n")
    method, target, _version = request_line.split(" ")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    while len(body) < length:
        body += _receive(connection)
    return HttpRequest(method, target, headers, body)


def _receive(connection: socket.socket) -> bytes:
    if not (data := connection.recv(65_536)):
        raise ConnectionResetError("half a request")
    return data


class Listener:
    """A port of the loopback interface that can be closed, left without accepting, and opened again.

    Args:
        serve: Called in a separate thread for each connection, with its number from 1; the connection is closed
            afterwards.

    Attributes:
        port: The port, which never changes.
    """

    def __init__(self, serve: Callable[[socket.socket, int], None]) -> None:
        self._serve = serve
        self._socket = _listen(0)
        self.port: int = self._socket.getsockname()[1]
        self._acceptor: _Acceptor | None = None
        self._plug: socket.socket | None = None
        self._served: list[tuple[socket.socket, threading.Thread]] = []
        self._count = 0

    def start(self) -> None:
        self._acceptor = _Acceptor(self._socket, self._accepted)

    def stop(self) -> None:
        """Refuses connections, and ends existing ones; their handlers must then return."""
        self._stop_acceptor()
        self._unplug()
        self._socket.close()
        for connection, _thread in self._served:
            with suppress(OSError):  # already ended
                connection.shutdown(socket.SHUT_RDWR)
        for _connection, thread in self._served:
            thread.join()
        self._served.clear()

    def start_again(self) -> None:
        self._socket = _listen(self.port)
        self.start()

    def stop_accepting(self) -> None:
        """Makes the kernel drop connection attempts, as if the server was too busy to accept them."""
        self._stop_acceptor()
        self._socket.listen(0)
        self._plug = socket.create_connection(("127.0.0.1", self.port))  # occupies the only place in the backlog

    def accept_again(self) -> None:
        self._unplug()
        self._socket.listen(_BACKLOG)
        self.start()

    def _accepted(self, connection: socket.socket) -> None:
        self._count += 1
        thread = threading.Thread(target=self._run, args=(connection, self._count), name=f"connection {self._count}")
        self._served.append((connection, thread))
        thread.start()

    def _run(self, connection: socket.socket, number: int) -> None:
        with connection:
            self._serve(connection, number)

    def _stop_acceptor(self) -> None:
        if self._acceptor is not None:
            self._acceptor.stop()
        self._acceptor = None

    def _unplug(self) -> None:
        if self._plug is not None:
            self._plug.close()
        self._plug = None


class _Acceptor:
    """Accepts connections in a thread until it is stopped."""

    def __init__(self, listening: socket.socket, accepted: Callable[[socket.socket], None]) -> None:
        self._listening = listening
        self._accepted = accepted
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="acceptor")
        self._thread.start()

    def stop(self) -> None:
        self._stop.close()
        self._thread.join()
        self._stopped.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            selector.register(self._stopped, selectors.EVENT_READ)
            while self._stopped not in {key.fileobj for key, _events in selector.select()}:
                with suppress(BlockingIOError, ConnectionError):  # it disconnected before it was accepted
                    connection, _address = self._listening.accept()
                    connection.settimeout(None)
                    self._accepted(connection)


def _listen(port: int) -> socket.socket:
    listening = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
    listening.settimeout(0)
    return listening
