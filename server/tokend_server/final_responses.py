"""HTTP/1.1 responses of http.client without interim responses."""

from http import HTTPStatus
from http.client import BadStatusLine, HTTPResponse

_PROVISIONAL = frozenset(range(100, 200)) - {HTTPStatus.SWITCHING_PROTOCOLS}


class FinalResponse(HTTPResponse):
    """The final response to a request, after interim responses (RFC 9110, section 15.2).

    http.client skips only status 100: after another interim status, the final response would be lost, or become the
    response to the next request on the connection.
    """

    def begin(self) -> None:
        super().begin()
        while self.status in _PROVISIONAL:
            self.headers = None  # type: ignore[assignment] # as before anything was read
            super().begin()
        if self.status == HTTPStatus.SWITCHING_PROTOCOLS:  # it was not requested
            raise BadStatusLine(f"HTTP/1.1 {self.status}")
