"""One connection of a read-only listener, and the bound on all of them.

There is one request at a time: while its answer is made or waits to be taken, nothing more is read. What is written
here is what a client may make the server hold: a request's headers, one answer, and the time that both may take.
"""

import asyncio
import logging
import re
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import cast
from urllib.parse import unquote

import httptools

from tokend_server.web.message import Request, Response
from tokend_server.web.site import Site

#: The most bytes of a request line with its headers.
MAX_HEAD_BYTES = 16_384

#: The most bytes that a client whose connection ends may still send before it is cut off.
_MAX_LATE_BYTES = 65_536

#: Wait for nothing: reset (socket(7), SO_LINGER).
_NO_LINGERING = struct.pack("ii", 1, 0)

_END = b"\r\n"
_LAST = b"connection: close\r\n\r\n"

_READ_METHODS = frozenset({b"GET", b"HEAD"})


#: What a Host header may hold (RFC 9110, section 7.2; RFC 3986, section 3.2.2); it need not name this server.
_HOST = re.compile(rb"[\w.~%!$&'()*+,;=:\[\]-]*", re.ASCII)

_log = logging.getLogger(__name__)


class _SecondRequestError(Exception):
    """A request has begun before the last one was answered."""


class Connections:
    """All connections of a listener, the one that has got nothing for longest first.

    A client that floods the listener cannot fill it: a newcomer takes the place of the first in line. One that has
    just come, or has just been answered, is the last in line.

    Args:
        most: How many there may be.
        patience: Seconds that each has, from its beginning or its last answer, to send a whole request and take the
            answer to it.
    """

    def __init__(self, most: int, patience: float) -> None:
        self._most = most
        self._patience = patience
        self._since: OrderedDict[Connection, float] = OrderedDict()
        self._no_more = asyncio.Event()
        self._no_more.set()

    def admit(self, connection: "Connection") -> None:
        """Takes in a newcomer."""
        self.served(connection)
        if len(self._since) > self._most:
            self._drop_first()

    def served(self, connection: "Connection") -> None:
        """Restarts a connection's time."""
        self._no_more.clear()
        self._since[connection] = asyncio.get_running_loop().time()
        self._since.move_to_end(connection)

    def forget(self, connection: "Connection") -> None:
        """Strikes out one that has ended."""
        self._since.pop(connection, None)
        if not self._since:
            self._no_more.set()

    async def drop_overdue(self) -> None:
        """Drops each connection when its time is up; it is to be cancelled."""
        time = asyncio.get_running_loop().time
        while True:
            while self._since and next(iter(self._since.values())) + self._patience <= time():
                self._drop_first()
            # Whoever comes during the sleep is not overdue before its end.
            first = next(iter(self._since.values()), time())
            await asyncio.sleep(first + self._patience - time())

    async def finish(self, seconds: float) -> None:
        """Ends all connections, those that wait for an answer after it, and all of them when the seconds are over."""
        for connection in list(self._since):
            connection.finish()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._no_more.wait()
        while self._since:
            self._drop_first()

    def _drop_first(self) -> None:
        connection, _ = self._since.popitem(last=False)
        connection.drop()


class Connection(asyncio.Protocol):
    """Answers GET and HEAD, and OPTIONS on a public site; refuses all else.

    Args:
        site: What there is to show.
        connections: Where to be counted.
        date: The `date` header at this moment, with the end of its line.
    """

    def __init__(self, site: Site, connections: Connections, date: Callable[[], bytes]) -> None:
        self._site = site
        self._connections = connections
        self._date = date
        self._parser = httptools.HttpRequestParser(self)
        self._received = 0
        self._method = b""
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._hosts: list[bytes] = []
        self._heard = False
        self._last = False
        self._answering = False
        self._ending = False
        self._clogged = False

    # What the loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(0)  # to know of any answer that is not taken at once
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
        self._received += len(data)
        if self._ending:
            if self._received > _MAX_LATE_BYTES:
                self.drop()
            return
        if self._received > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._last = True  # the parser takes what follows for another protocol
        except httptools.HttpParserError:
            self._last = True  # what was heard before the error still counts
            if not self._heard:
                self._refuse(HTTPStatus.BAD_REQUEST)
                return
        if self._heard:
            self._answer()

    # What the parser tells.

    def on_message_begin(self) -> None:
        if self._heard:
            raise _SecondRequestError

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"host":
            self._hosts.append(value)
        self._headers[name] = b",".join((self._headers[name], value)) if name in self._headers else value

    def on_headers_complete(self) -> None:
        self._heard = True
        self._method = self._parser.get_method()
        self._last = self._last or not self._parser.should_keep_alive()

    # What is made of it.

    def finish(self) -> None:
        """Ends the connection, after the answer if there is one to come."""
        self._last = True
        if not self._answering:
            self._transport.close()

    def drop(self) -> None:
        """Ends the connection at once, and frees what the kernel has of an answer that is not taken."""
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        self._transport.abort()

    def _answer(self) -> None:
        preflight = self._site.preflight if self._method == b"OPTIONS" else None
        if not self._is_addressed():
            self._refuse(HTTPStatus.BAD_REQUEST)
        elif self._method not in _READ_METHODS and preflight is None:
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED)
        elif self._headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in self._headers:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif preflight is not None:
            self._send(preflight)
        else:
            self._ask()

    def _is_addressed(self) -> bool:
        """Whether there is a Host header as there has to be (RFC 9112, section 3.2)."""
        fewest = 0 if self._parser.get_http_version() == "1.0" else 1
        return fewest <= len(self._hosts) <= 1 and all(_HOST.fullmatch(host.strip()) for host in self._hosts)

    def _refuse(self, status: HTTPStatus) -> None:
        self._last = True  # a body may follow that is not read
        self._send(self._site.refusals[status])

    def _ask(self) -> None:
        try:
            path = _path(self._url)
        except httptools.HttpParserInvalidURLError:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        page = self._site.pages.get(path)
        if page is None:
            self._send(self._site.refusals[HTTPStatus.NOT_FOUND])
            return
        try:
            answer = page(Request(path, self._headers))
        except Exception:  # noqa: BLE001 - whatever it is, it is logged and the client told
            _log.exception("an answer failed", extra={"path": path})
            answer = self._site.refusals[HTTPStatus.INTERNAL_SERVER_ERROR]
        if isinstance(answer, Response):
            self._send(answer)
            return
        self._answering = True
        self._transport.pause_reading()
        answer.add_done_callback(lambda made: self._answer_made(made, path))

    def _answer_made(self, made: asyncio.Future[Response], path: str) -> None:
        self._answering = False
        if made.cancelled():
            self.drop()
            return
        if error := made.exception():
            _log.error("an answer failed", extra={"path": path}, exc_info=error)
        self._send(self._site.refusals[HTTPStatus.INTERNAL_SERVER_ERROR] if error else made.result())

    def _send(self, response: Response) -> None:
        if self._transport.is_closing():
            return
        head = response.head + self._date() + (_LAST if self._last else _END)
        self._transport.write(head if self._method == b"HEAD" else head + response.body)
        self._connections.served(self)
        self._received = 0
        self._method = b""
        self._url = b""
        self._headers = {}
        self._hosts = []
        self._heard = False
        if self._last:
            # To close with unread data would reset the connection, and take the answer from the client.
            self._ending = True
            self._transport.write_eof()
        self._read_on()

    def _read_on(self) -> None:
        if not (self._answering or self._clogged):
            self._transport.resume_reading()


def _path(target: bytes) -> str:
    """The decoded path of a request target (RFC 9112, section 3.2)."""
    path: bytes | None = httptools.parse_url(target).path
    return unquote((path or b"").decode("latin-1"))
