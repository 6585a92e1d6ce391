"""What HTTP listeners are asked and what they answer."""

from asyncio import Future
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple, Protocol, TypeAlias

#: The statuses whose answers have no body, nor a length of one (RFC 9110, section 8.6).
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class Request(NamedTuple):
    """A request with its whole body.

    Attributes:
        path: The path, percent-decoded.
        headers: The values by name in lower case; those of a repeated name are joined by commas.
        method: As it was sent; names of methods are case-sensitive.
        target: The path with its query, as they were sent, without a host before them.
        body: Empty where there is none.
        peer: The address that it came from, without the port.
    """

    path: str
    headers: Mapping[bytes, bytes]
    method: str = "GET"
    target: str = ""
    body: bytes = b""
    peer: str = ""


class Response:
    """An answer, which is rendered once however often it is sent.

    Attributes:
        head: The status line and the headers, each with the end of its line; more headers may follow.
        body: What follows the headers, unless the request was HEAD.
    """

    __slots__ = ("body", "head")

    def __init__(self, status: HTTPStatus, headers: Mapping[str, str], body: bytes = b"") -> None:
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        if status not in _BODILESS:
            lines.append(f"content-length: {len(body)}")
        self.head = "".join(f"{line}\r\n" for line in lines).encode("latin-1")
        self.body = body


#: Answers at once, or later if that takes long; it is called on the listener's own thread, and must not block it.
Page: TypeAlias = Callable[[Request], Response | Future[Response]]


class Application(Protocol):
    """What a listener serves.

    Attributes:
        methods: The methods that are answered; None answers all.
        max_body_bytes: The size of the largest body that is read; 0 refuses every body.
        respond: Answers a request.
    """

    methods: frozenset[str] | None
    max_body_bytes: int

    @property
    def respond(self) -> Page: ...

    def refuse(self, status: HTTPStatus, request: Request) -> Response:
        """The answer to what is no request, to one that may not be made, or to one whose answer failed.

        Args:
            status: Why.
            request: As much as came of it, for the form of the answer; its body may be missing.
        """


def plain_text(text: str, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> Response:
    """An answer for people to read."""
    return Response(
        status, {"content-type": "text/plain; charset=utf-8", **headers}, text.encode(errors="backslashreplace")
    )
