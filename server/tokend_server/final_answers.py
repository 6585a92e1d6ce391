"""Answers of HTTP/1.1 as http.client reads them, without those that come before the answer proper."""

from http import HTTPStatus
from http.client import BadStatusLine, HTTPResponse

_PROVISIONAL = frozenset(range(100, 200)) - {HTTPStatus.SWITCHING_PROTOCOLS}


class FinalAnswer(HTTPResponse):
    """The answer to a request: a provisional one is none (RFC 9110, section 15.2).

    http.client passes over status 100 alone: what follows another one would be lost, or the answer to the next request
    of the connection, whoever makes that.
    """

    def begin(self) -> None:
        super().begin()
        while self.status in _PROVISIONAL:
            self.headers = None  # type: ignore[assignment] # as before anything was read
            super().begin()
        if self.status == HTTPStatus.SWITCHING_PROTOCOLS:  # which is not asked for
            raise BadStatusLine(f"HTTP/1.1 {self.status}")
