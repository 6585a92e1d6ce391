"""One connection of an HTTP listener, and the bound on all of them.

There is one request at a time: while its answer is made or waits to be taken, nothing more is read. What is written
here is what a client may make the server hold: one request, one answer, and the time that both may take.
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

#: The most bytes that a client whose connection ends may still send before it is cut off.
_MAX_LATE_BYTES = 65_536

#: Bytes that a connection with TLS may have to send before nothing more is read: tickets and the end of a record, while
#: asyncio reads and writes for TLS in one and would do neither.
_TLS_BUFFER = 16_384

#: Wait for nothing: reset (socket(7), SO_LINGER).
_NO_LINGERING = struct.pack("ii", 1, 0)

_END = b"\r\n"
_LAST = b"connection: close\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_log = logging.getLogger(__name__)


class Connections:
    """All connections of a listener, the one that has got nothing for longest first.

    A client that floods the listener cannot fill it: a newcomer takes the place of the first in line. One that has
    just come, or has just been answered, is the last in line. Where all bodies together are too large, the connection
    with the largest is dropped.

    Args:
        most: How many there may be.
        most_body_bytes: How many bytes of bodies there may be, of requests that are not answered yet.
        patience: Seconds that each has, from its beginning or its last answer, to take that and send a whole request.
            What it waits for the next answer is not the client's time.
    """

    def __init__(self, most: int, most_body_bytes: int, patience: float) -> None:
        self._most = most
        self._most_body_bytes = most_body_bytes
        self._patience = patience
        self._since: OrderedDict[Connection, float] = OrderedDict()
        self._waiting: set[Connection] = set()
        self._body_bytes: dict[Connection, int] = {}
        self._no_more = asyncio.Event()
        self._no_more.set()

    def admit(self, connection: "Connection") -> None:
        """Takes in a newcomer."""
        self.served(connection)
        if len(self._since) > self._most:
            self._drop(next(iter(self._since)))

    def served(self, connection: "Connection") -> None:
        """Restarts a connection's time."""
        self._no_more.clear()
        self._waiting.discard(connection)
        self._body_bytes.pop(connection, None)
        self._since[connection] = asyncio.get_running_loop().time()
        self._since.move_to_end(connection)

    def wait(self, connection: "Connection") -> None:
        """Stops a connection's time until it is served."""
        self._waiting.add(connection)

    def hold(self, connection: "Connection", body_bytes: int) -> None:
        """Takes note of how much has come of a connection's body."""
        self._body_bytes[connection] = body_bytes
        while sum(self._body_bytes.values()) > self._most_body_bytes:
            largest = max(self._body_bytes, key=self._body_bytes.__getitem__)
            self._drop(largest)

    def forget(self, connection: "Connection") -> None:
        """Strikes out one that has ended."""
        self._waiting.discard(connection)
        self._body_bytes.pop(connection, None)
        self._since.pop(connection, None)
        if not self._since:
            self._no_more.set()

    async def drop_overdue(self) -> None:
        """Drops each connection when its time is up; it is to be cancelled."""
        time = asyncio.get_running_loop().time
        while True:
            while (first := self._first_whose_time_runs()) and self._since[first] + self._patience <= time():
                self._drop(first)
            # Whoever comes or is served during the sleep is not overdue before its end.
            since = self._since[first] if first else time()
            await asyncio.sleep(since + self._patience - time())

    async def finish(self, seconds: float) -> None:
        """Ends all connections, those that wait for an answer after it, and all of them when the seconds are over."""
        for connection in list(self._since):
            connection.finish()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._no_more.wait()
        while self._since:
            self._drop(next(iter(self._since)))

    def _first_whose_time_runs(self) -> "Connection | None":
        return next((each for each in self._since if each not in self._waiting), None)

    def _drop(self, connection: "Connection") -> None:
        self.forget(connection)
        connection.drop()


class Connection(asyncio.Protocol):
    """Has an application answer the requests of a client.

    Args:
        application: What answers.
        connections: Where to be counted.
        date: The `date` header at this moment, with the end of its line.
    """

    def __init__(self, application: Application, connections: Connections, date: Callable[[], bytes]) -> None:
        self._application = application
        self._connections = connections
        self._date = date
        self._parser = RequestParser(application)
        self._late_bytes = 0
        self._answering = False
        self._ending = False
        self._clogged = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parser.peer = _address(transport.get_extra_info("peername"))
        # To know of any answer that is not taken at once, but not of what TLS has left to send of its handshake.
        has_tls = transport.get_extra_info("ssl_object") is not None
        self._transport.set_write_buffer_limits(high=_TLS_BUFFER if has_tls else 0, low=0)
        self._connections.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - all endings are alike
        self._connections.forget(self)

    def pause_writing(self) -> None:
        self._clogged = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._clogged = False
        self._read_on()

    def data_received(self, data: bytes) -> None:
        if self._ending:
            self._late_bytes += len(data)
            if self._late_bytes > _MAX_LATE_BYTES:
                self.drop()
            return
        outcome = self._parser.feed(data)
        if self._parser.body:
            self._connections.hold(self, len(self._parser.body))
            if self._transport.is_closing():
                return
        if isinstance(outcome, Request):
            self._answer(outcome)
        elif outcome is not None:
            self._parser.is_last = True  # a body may follow that is not read
            self._send(self._application.refuse(outcome, self._parser.head))
        elif self._parser.has_to_continue():
            self._transport.write(_CONTINUE)

    def finish(self) -> None:
        """Ends the connection, after the answer if there is one to come."""
        self._parser.is_last = True
        if not self._answering:
            self._transport.close()

    def drop(self) -> None:
        """Ends the connection at once, and frees what the kernel has of an answer that is not taken."""
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        self._transport.abort()

    def _answer(self, request: Request) -> None:
        try:
            answer = self._application.respond(request)
        except Exception:  # noqa: BLE001 - whatever it is, it is logged, and the client gets status 500
            _log.exception("an answer failed", extra={"path": request.path})
            answer = self._application.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, request)
        if isinstance(answer, Response):
            self._send(answer)
            return
        self._answering = True
        self._connections.wait(self)
        self._transport.pause_reading()
        answer.add_done_callback(lambda made: self._answer_made(made, request))

    def _answer_made(self, made: asyncio.Future[Response], request: Request) -> None:
        self._answering = False
        if made.cancelled():
            self.drop()
            return
        if error := made.exception():
            _log.error("an answer failed", extra={"path": request.path}, exc_info=error)
            self._send(self._application.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, request))
        else:
            self._send(made.result())

    def _send(self, response: Response) -> None:
        if self._transport.is_closing():
            return
        head = response.head + self._date() + (_LAST if self._parser.is_last else _END)
        self._transport.write(head if self._parser.method == "HEAD" else head + response.body)
        self._connections.served(self)
        if self._parser.is_last:
            # To close with unread data would reset the connection, and take the answer from the client.
            self._ending = True
            try:
                self._end_writing()
            except OSError:  # the client has gone meanwhile
                self.drop()
                return
        self._parser.start()
        self._read_on()

    def _end_writing(self) -> None:
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:  # TLS, which ends both ways at once, and waits for the client's word on it
            self._transport.close()

    def _read_on(self) -> None:
        if not (self._answering or self._clogged):
            self._transport.resume_reading()


def _address(peer: tuple[str, int, *tuple[int, ...]] | None) -> str:
    """The address of a peer, as `getpeername` gives it for IPv4 and IPv6; empty for one that has gone already."""
    return peer[0].removeprefix("::ffff:") if peer else ""
