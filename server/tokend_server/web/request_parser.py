"""Parses the requests of a connection, with limits of the memory that a request may use."""

import re
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import unquote

import httptools

from tokend_server.web.message import Application, Request

#: The maximum size of a request line with its headers, in bytes.
MAX_HEAD_BYTES = 16_384

#: The contents of a Host header (RFC 9110, section 7.2; RFC 3986, section 3.2.2); it need not be this server's host.
_HOST = re.compile(rb"[\w.~%!$&'()*+,;=:\[\]-]*", re.ASCII)

#: The part before the path if a client sends a request as to a proxy (RFC 9112, section 3.2.2).
_AUTHORITY = re.compile(rb"\A[a-z][a-z0-9+.-]*://[^/?#]*/?", re.IGNORECASE)

#: A whole request, the status of a refusal, or None if the request is incomplete.
Outcome: TypeAlias = Request | HTTPStatus | None


class _SecondRequestError(Exception):
    """Raised when a request starts before the previous one was answered."""


class _Body:
    """Receives httptools' callbacks for a body."""

    def __init__(self, request: "RequestParser") -> None:
        self.on_message_begin = request.on_body_begin
        self.on_body = request.on_body
        self.on_message_complete = request.on_message_complete


class RequestParser:
    """Parses with httptools; one request at a time.

    Args:
        application: Defines the allowed methods and bodies.

    Attributes:
        method: The method of the request, once its target has been received.
        is_last: Whether the connection must be closed after the response.
        body: The received part of the body.
        peer: The address of the client, once it is known.
    """

    def __init__(self, application: Application) -> None:
        self._methods = application.methods
        self._max_body_bytes = application.max_body_bytes
        self._parser = httptools.HttpRequestParser(self)
        self.is_last = False
        self.peer = ""
        self.start()

    def start(self) -> None:
        """Starts the next request."""
        self.method = ""
        self.body = bytearray()
        self._received = 0
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._hosts: list[bytes] = []
        self._has_head = False
        self._is_complete = False
        self._refusal: HTTPStatus | None = None
        self._continued = False

    def feed(self, data: bytes) -> Outcome:
        """Parses received data of the request."""
        room = len(data) if self._has_head else MAX_HEAD_BYTES - self._received
        self._received += len(data)
        parsed = self._parse(data[:room])
        if not self._has_head:
            if not parsed:
                return HTTPStatus.BAD_REQUEST
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if self._received > MAX_HEAD_BYTES else None
        if parsed and len(data) > room:
            parsed = self._parse(data[room:])
        if self._refusal:
            return self._refusal
        if self._is_complete:
            return self._request()  # data after it are ignored
        if not parsed:
            return HTTPStatus.BAD_REQUEST
        # A chunked body may have much data besides the body.
        too_large = self._received > MAX_HEAD_BYTES + self._max_body_bytes
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else None

    def expects_continue(self) -> bool:
        """Returns whether the client expects a 100 response (RFC 9110, section 10.1.1); true once for a request."""
        if not self._has_head or self._continued:
            return False
        self._continued = True
        return self._headers.get(b"expect", b"").lower() == b"100-continue" and self._parser.get_http_version() != "1.0"

    @property
    def head(self) -> Request:
        """Returns the received part of the request without its body; the path is empty if the target is invalid."""
        return self._to_request(self._path() or b"", b"")

    # Callbacks of httptools.

    def on_message_begin(self) -> None:
        if self._has_head:
            raise _SecondRequestError

    def on_body_begin(self) -> None:
        if self._is_complete:
            raise _SecondRequestError

    def on_url(self, url: bytes) -> None:
        self.method = self._parser.get_method().decode("latin-1")
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._has_head:
            return  # a trailer (RFC 9110, section 6.5.1)
        name, value = name.lower(), value.strip(b" \t")  # llhttp keeps trailing white space (RFC 9110, section 5.5)
        if name == b"host":
            self._hosts.append(value)
        self._headers[name] = b",".join((self._headers[name], value)) if name in self._headers else value

    def on_headers_complete(self) -> None:
        self._has_head = True
        self.is_last = self.is_last or not self._parser.should_keep_alive()
        self._refusal = self._refusal_by_head()

    def on_body(self, body: bytes) -> None:
        if self._refusal:
            return
        if len(self.body) + len(body) > self._max_body_bytes:
            self._refusal = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            return
        self.body += body

    def on_message_complete(self) -> None:
        self._is_complete = True

    # Evaluation.

    def _parse(self, data: bytes) -> bool:
        """Returns whether the data could be parsed; if not, the connection has no further request."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offered:
            self.is_last = True
            return self._parse_body(data[offered.args[0] :])
        except httptools.HttpParserError:
            self.is_last = True
            return False
        return True

    def _parse_body(self, data: bytes) -> bool:
        """Continues after an offer of another protocol, which is ignored (RFC 9110, section 7.8).

        httptools treats the data after the headers as that protocol's, although an HTTP/1.1 body comes first.
        """
        framing = next((name for name in (b"transfer-encoding", b"content-length") if name in self._headers), None)
        if framing is None or self.method == "CONNECT":
            return False
        self._is_complete = False
        self._parser = httptools.HttpRequestParser(_Body(self))
        head = b"POST / HTTP/1.1\r\n%b: %b\r\n\r\n" % (framing, self._headers[framing])
        return self._parse(head) and (not data or self._parse(data))

    def _refusal_by_head(self) -> HTTPStatus | None:
        if not self._has_valid_host():
            return HTTPStatus.BAD_REQUEST
        if self._methods is not None and self.method not in self._methods:
            return HTTPStatus.METHOD_NOT_ALLOWED
        length, coding = self._headers.get(b"content-length"), self._headers.get(b"transfer-encoding")
        if (length and int(length) > self._max_body_bytes) or (coding is not None and not self._max_body_bytes):
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return None if coding is None or coding.lower() == b"chunked" else HTTPStatus.NOT_IMPLEMENTED

    def _has_valid_host(self) -> bool:
        """Returns whether there is a valid Host header (RFC 9112, section 3.2)."""
        fewest = 0 if self._parser.get_http_version() == "1.0" else 1
        return fewest <= len(self._hosts) <= 1 and all(_HOST.fullmatch(host) for host in self._hosts)

    def _request(self) -> Outcome:
        path = self._path()
        return (
            HTTPStatus.BAD_REQUEST if path is None else self._to_request(path, bytes(self.body) if self.body else b"")
        )

    def _path(self) -> bytes | None:
        """Returns the path of the target; None if the target is invalid."""
        try:
            return httptools.parse_url(self._target).path or b""
        except httptools.HttpParserInvalidURLError:
            return None

    def _to_request(self, path: bytes, body: bytes) -> Request:
        decoded, target = unquote(path.decode("latin-1")), _AUTHORITY.sub(b"/", self._target).decode("latin-1")
        return Request(decoded, self._headers, self.method, target, body, self.peer)
