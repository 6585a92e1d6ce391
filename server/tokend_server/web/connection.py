"""The connections of an HTTP listener, and their limits.

A connection handles one request at a time: while its response is created or sent, nothing more is read. This module
defines what a client may make the server hold: one request, one response, and the time for both.
"""

import asyncio
import logging
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import cast

from tokend_server.web.message import Application, Request, Response
from tokend_server.web.request_parser import RequestParser

#: The maximum number of bytes that a client may send while its connection is being closed.
_MAX_LATE_BYTES = 65_536

#: The bytes in the write buffer above which a connection with TLS is not read: session tickets and the end of a record
#: must fit, because asyncio couples reads and writes of TLS and would otherwise do neither.
_TLS_BUFFER = 16_384

#: Reset the connection instead of waiting (socket(7), SO_LINGER).
_NO_LINGERING = struct.pack("ii", 1, 0)

_END = b"\r\n"
_LAST = b"connection: close\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_log = logging.getLogger(__name__)


class Connections:
    """The connections of a listener, ordered by the time since their last response.

    A client that floods the listener cannot fill it: a new connection replaces the first one. A connection that is new,
    or has just been answered, is the last. If all bodies together are too large, the connection with the largest body
    is dropped.

    Args:
        max_connections: The maximum number of connections.
        max_total_body_bytes: The maximum size in bytes of all bodies of unanswered requests.
        timeout: Seconds from the start of a connection, or from its last response, within which the client must read
            that response and send a whole request. The time until the next response does not count.
    """

    def __init__(self, max_connections: int, max_total_body_bytes: int, timeout: float) -> None:
        self._max_connections = max_connections
        self._max_total_body_bytes = max_total_body_bytes
        self._timeout = timeout
        self._since: OrderedDict[Connection, float] = OrderedDict()
        self._waiting: set[Connection] = set()
        self._body_bytes: dict[Connection, int] = {}
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    def admit(self, connection: "Connection") -> None:
        """Adds a new connection."""
        self.restart_timer(connection)
        if len(self._since) > self._max_connections:
            self._drop(next(iter(self._since)))

    def restart_timer(self, connection: "Connection") -> None:
        """Restarts a connection's time."""
        self._all_closed.clear()
        self._waiting.discard(connection)
        self._body_bytes.pop(connection, None)
        self._since[connection] = asyncio.get_running_loop().time()
        self._since.move_to_end(connection)

    def pause_timer(self, connection: "Connection") -> None:
        """Stops a connection's time until its response is sent."""
        self._waiting.add(connection)

    def record_body_size(self, connection: "Connection", body_bytes: int) -> None:
        """Records the number of bytes received of a connection's body."""
        self._body_bytes[connection] = body_bytes
        while sum(self._body_bytes.values()) > self._max_total_body_bytes:
            largest = max(self._body_bytes, key=self._body_bytes.__getitem__)
            self._drop(largest)

    def remove(self, connection: "Connection") -> None:
        """Removes a connection that has ended."""
        self._waiting.discard(connection)
        self._body_bytes.pop(connection, None)
        self._since.pop(connection, None)
        if not self._since:
            self._all_closed.set()

    async def drop_overdue(self) -> None:
        """Drops each connection when its time has passed; runs until it is cancelled."""
        time = asyncio.get_running_loop().time
        while True:
            while (first := self._oldest_with_running_timer()) and self._since[first] + self._timeout <= time():
                self._drop(first)
            # Connections that are added or answered during the sleep are not overdue before its end.
            since = self._since[first] if first else time()
            await asyncio.sleep(since + self._timeout - time())

    async def finish(self, seconds: float) -> None:
        """Closes all connections, those that wait for a response after it, but all of them after some seconds."""
        for connection in list(self._since):
            connection.finish()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._all_closed.wait()
        while self._since:
            self._drop(next(iter(self._since)))

    def _oldest_with_running_timer(self) -> "Connection | None":
        return next((each for each in self._since if each not in self._waiting), None)

    def _drop(self, connection: "Connection") -> None:
        self.remove(connection)
        connection.drop()


class Connection(asyncio.Protocol):
    """Handles the requests of a client with an application.

    Args:
        application: Answers requests.
        connections: The connections of the listener.
        date: Returns the current `date` header with its line end.
    """

    def __init__(self, application: Application, connections: Connections, date: Callable[[], bytes]) -> None:
        self._application = application
        self._connections = connections
        self._date = date
        self._parser = RequestParser(application)
        self._late_bytes = 0
        self._answering = False
        self._ending = False
        self._is_writing_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parser.peer = _address(transport.get_extra_info("peername"))
        # To detect any response that is not sent at once, but not the rest of a TLS handshake.
        has_tls = transport.get_extra_info("ssl_object") is not None
        self._transport.set_write_buffer_limits(high=_TLS_BUFFER if has_tls else 0, low=0)
        self._connections.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason does not matter
        self._connections.remove(self)

    def pause_writing(self) -> None:
        self._is_writing_paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_writing_paused = False
        self._resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            self._late_bytes += len(data)
            if self._late_bytes > _MAX_LATE_BYTES:
                self.drop()
            return
        outcome = self._parser.feed(data)
        if self._parser.body:
            self._connections.record_body_size(self, len(self._parser.body))
            if self._transport.is_closing():
                return
        if isinstance(outcome, Request):
            self._answer(outcome)
        elif outcome is not None:
            self._parser.is_last = True  # a body may follow that is not read
            self._send(self._application.refuse(outcome, self._parser.head))
        elif self._parser.expects_continue():
            self._transport.write(_CONTINUE)

    def finish(self) -> None:
        """Closes the connection, after the response if one is pending."""
        self._parser.is_last = True
        if not self._answering:
            self._transport.close()

    def drop(self) -> None:
        """Closes the connection at once, and frees the kernel's buffer of a response that is not read."""
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        self._transport.abort()

    def _answer(self, request: Request) -> None:
        try:
            answer = self._application.respond(request)
        except Exception:  # noqa: BLE001 - any error is logged, and the client gets status 500
            _log.exception("request failed", extra={"path": request.path})
            answer = self._application.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, request)
        if isinstance(answer, Response):
            self._send(answer)
            return
        self._answering = True
        self._connections.pause_timer(self)
        self._transport.pause_reading()
        answer.add_done_callback(lambda made: self._on_response(made, request))

    def _on_response(self, made: asyncio.Future[Response], request: Request) -> None:
        self._answering = False
        if made.cancelled():
            self.drop()
            return
        if error := made.exception():
            _log.error("request failed", extra={"path": request.path}, exc_info=error)
            self._send(self._application.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, request))
        else:
            self._send(made.result())

    def _send(self, response: Response) -> None:
        if self._transport.is_closing():
            return
        head = response.head + self._date() + (_LAST if self._parser.is_last else _END)
        self._transport.write(head if self._parser.method == "HEAD" else head + response.body)
        self._connections.restart_timer(self)
        if self._parser.is_last:
            # Closing with unread data would reset the connection, and the client would lose the response.
            self._ending = True
            try:
                self._end_writing()
            except OSError:  # the client has disconnected
                self.drop()
                return
        self._parser.start()
        self._resume_reading()

    def _end_writing(self) -> None:
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:  # TLS closes both directions at once, and waits for the client's confirmation
            self._transport.close()

    def _resume_reading(self) -> None:
        if not (self._answering or self._is_writing_paused):
            self._transport.resume_reading()


def _address(peer: tuple[str, int, *tuple[int, ...]] | None) -> str:
    """Returns the address of a peer from `getpeername` for IPv4 and IPv6; empty if it has disconnected."""
    return peer[0].removeprefix("::ffff:") if peer else ""
