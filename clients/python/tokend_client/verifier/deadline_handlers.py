"""HTTP with `urllib` and a timeout for the whole response, for servers that send octets one by one.

It also skips all informational responses of HTTP/1.1, where `http.client` skips only 100 (RFC 9110, section 15.2).
"""

import http.client
import io
import socket
import time
import urllib.request
from typing import Any

_PROVISIONAL = frozenset(range(102, 200))  # 101 would be another protocol, which was not requested


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket until a deadline."""

    def __init__(self, connection: socket.socket, raw: io.RawIOBase) -> None:
        super().__init__()
        self._socket = connection
        self._raw = raw
        self._deadline = time.monotonic() + (connection.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - as the base class has it
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the response did not end in time")
        # The socket's own timeout applies to each read.
        self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **settings: Any) -> None:  # noqa: ANN401 - the base class's own
        super().__init__(sock, *args, **settings)
        buffered: Any = self.fp
        self.fp = io.BufferedReader(_DeadlineReader(sock, buffered.detach()))

    def begin(self) -> None:
        super().begin()
        while self.status in _PROVISIONAL:
            self.headers = None  # type: ignore[assignment] # as before anything was read
            super().begin()


class _Connection(http.client.HTTPConnection):
    response_class = _Response


class _SecureConnection(http.client.HTTPSConnection):
    response_class = _Response


class DeadlineHTTPHandler(urllib.request.HTTPHandler):
    """Requests by http."""

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, req)


class DeadlineHTTPSHandler(urllib.request.HTTPSHandler):
    """Requests by https."""

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req)
