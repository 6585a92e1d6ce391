"""A TCP proxy that can reset connections, block them, or lose responses."""

import socket
import struct
import threading
from contextlib import suppress
from enum import Enum, auto
from typing import Self

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST
_MOST_BYTES = 1 << 16


class Fault(Enum):
    """The faults of the proxy."""

    NONE = auto()
    #: Existing and new connections are reset.
    CUT = auto()
    #: Nothing arrives on either side, as if packets were dropped.
    BLOCKED = auto()
    #: Data from the server does not arrive; data to it does.
    HALF_OPEN = auto()


class FaultProxy:
    """Connects clients to a server on the loopback. Use it as a context manager.

    Args:
        port: The server's port.

    Attributes:
        port: The proxy's port.
        lost: Set once a response of `lose_answer_to` is lost.
        requests: The number of chunks that clients have sent.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._fault = Fault.NONE
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._marker = b""
        self.lost = threading.Event()
        self.requests = 0
        self._is_closed = False
        self._accepting = threading.Thread(target=self._accept, name="fault proxy", daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        self.be(Fault.CUT)

    def be(self, fault: Fault) -> None:
        """Sets the current fault, or none."""
        with self._changed:
            self._fault = fault
            if fault is Fault.CUT:
                for each in self._open:
                    self._reset(each)
                self._open.clear()
            self._changed.notify_all()

    def lose_answer_to(self, marker: bytes) -> None:
        """Resets the connection when the server responds to the next request that contains these bytes."""
        self.lost.clear()
        self._marker = marker

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                if self._fault is Fault.CUT:
                    self._reset(client)
                    continue
                try:
                    server = socket.create_connection(("127.0.0.1", self._server_port), timeout=5)
                except OSError:
                    self._reset(client)
                    continue
                server.settimeout(None)
                self._open |= {client, server}
            answer_is_lost = threading.Event()
            for source, target, is_answer in ((client, server, False), (server, client, True)):
                threading.Thread(
                    target=self._pump, args=(source, target, answer_is_lost, is_answer), name="fault proxy", daemon=True
                ).start()

    def _pump(self, source: socket.socket, target: socket.socket, loses: threading.Event, is_answer: bool) -> None:  # noqa: FBT001
        with suppress(OSError):
            while data := source.recv(_MOST_BYTES):
                self.requests += not is_answer
                if not is_answer and self._marker and self._marker in data:
                    self._marker = b""
                    loses.set()
                elif is_answer and loses.is_set():
                    self.lost.set()
                    self._reset(target)
                    break
                if self._lets_pass(is_answer=is_answer):
                    target.sendall(data)
        with self._changed:
            self._open -= {source, target}
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        if is_answer:
            source.close()
            target.close()

    def _lets_pass(self, *, is_answer: bool) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._fault is not Fault.BLOCKED)
            return not (is_answer and self._fault is Fault.HALF_OPEN)

    @staticmethod
    def _reset(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            connection.shutdown(socket.SHUT_RD)
        connection.close()
