"""The requests and responses of HTTP listeners."""

from asyncio import Future
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple, Protocol, TypeAlias

#: The statuses whose responses have no body and no content length (RFC 9110, section 8.6).
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class Request(NamedTuple):
    """A request with its whole body.

    Attributes:
        path: The path, percent-decoded.
        headers: The values by name in lower case; those of a repeated name are joined by commas.
        method: The method as sent; names of methods are case-sensitive.
        target: The path and the query as sent, without a host.
        body: The body; empty if there is none.
        peer: The address of the client, without the port.
    """

    path: str
    headers: Mapping[bytes, bytes]
    method: str = "GET"
    target: str = ""
    body: bytes = b""
    peer: str = ""


class Response:
    """A response, which is rendered once and can be sent several times.

    Attributes:
        head: The status line and the headers, each with its line end; more headers may follow.
        body: The body, which is not sent for HEAD.
    """

    __slots__ = ("body", "head")

    def __init__(self, status: HTTPStatus, headers: Mapping[str, str], body: bytes = b"") -> None:
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        if status not in _BODILESS:
            lines.append(f"content-length: {len(body)}")
        self.head = "".join(f"{line}\r\n" for line in lines).encode("latin-1")
        self.body = body


#: Returns a response, or a future if that takes long; it is called in the listener's thread and must not block.
Page: TypeAlias = Callable[[Request], Response | Future[Response]]


class Application(Protocol):
    """The application of a listener.

    Attributes:
        methods: The allowed methods; None for all.
        max_body_bytes: The maximum size of a body; 0 refuses all bodies.
        respond: Answers a request.
    """

    methods: frozenset[str] | None
    max_body_bytes: int

    @property
    def respond(self) -> Page: ...

    def refuse(self, status: HTTPStatus, request: Request) -> Response:
        """Returns the response to a malformed or refused request, or to one whose response failed.

        Args:
            status: The reason.
            request: The received part of the request, for the format of the response; its body may be missing.
        """


def plain_text(text: str, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> Response:
    """Returns a plain text response."""
    return Response(
        status, {"content-type": "text/plain; charset=utf-8", **headers}, text.encode(errors="backslashreplace")
    )
