"""The steps of a CognitoUpstream: how it handles a request."""

import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import ClassVar

from tests.fakes.cognito_engine import EveryPool, FailingEngine

from tokend_server.aws_json.errors import AwsError
from tokend_server.aws_json.wire import CONTENT_TYPE, AwsResponse
from tokend_server.engine import Engine


@dataclass
class Exchange:
    """A connection with a request, or before one.

    Attributes:
        answer: Returns the service's response to the request; with engines, their response.
        hold: Waits until the upstream releases it, or for some seconds; returns whether it was released.
        open: Whether the connection can carry another request.
    """

    connection: socket.socket
    answer: Callable[[Mapping[str, Engine] | None], AwsResponse]
    hold: Callable[[float | None], bool]
    open: bool = True

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def close(self) -> None:
        """Closes the connection normally."""
        self.open = False

    def reset(self) -> None:
        """Resets the connection (RST)."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.open = False


class Step(ABC):
    """One step; `reads_request` is whether the request is read first."""

    reads_request: ClassVar[bool] = True

    @abstractmethod
    def play(self, exchange: Exchange) -> None: ...


class Answer(Step):
    """A step that sends an HTTP response."""

    @abstractmethod
    def response(self, exchange: Exchange) -> AwsResponse: ...

    def play(self, exchange: Exchange) -> None:
        response = self.response(exchange)
        exchange.send(head(response) + response.body)


@dataclass(frozen=True)
class Success(Answer):
    """The service's own response: success, or the error for the request."""

    def response(self, exchange: Exchange) -> AwsResponse:
        return exchange.answer(None)


@dataclass(frozen=True)
class AwsFailure(Answer):
    """An AWS error, for a valid request."""

    code: str
    message: str = "What went wrong."
    status: int = 400

    def response(self, exchange: Exchange) -> AwsResponse:
        return exchange.answer(EveryPool(FailingEngine(AwsError(self.code, self.message, self.status))))


@dataclass(frozen=True)
class Body(Answer):
    """A response with any body and status, for any request."""

    content: bytes = b""
    status: int = 200
    content_type: str = CONTENT_TYPE

    def response(self, exchange: Exchange) -> AwsResponse:  # noqa: ARG002 - the same for all
        return AwsResponse(self.status, {"content-type": self.content_type}, self.content)


@dataclass(frozen=True)
class NoHttp(Step):
    """Bytes that are not HTTP."""

    data: bytes = b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n"

    def play(self, exchange: Exchange) -> None:
        exchange.send(self.data)
        exchange.close()


class Sent(Enum):
    """How much of a response is sent."""

    NOTHING = auto()
    HALF_OF_HEAD = auto()
    HALF_OF_BODY = auto()

    def of(self, response: AwsResponse) -> bytes:
        start = head(response)
        return {
            Sent.NOTHING: b"",
            Sent.HALF_OF_HEAD: start[: len(start) // 2],
            Sent.HALF_OF_BODY: start + response.body[: len(response.body) // 2],
        }[self]


@dataclass(frozen=True)
class Reset(Step):
    """Resets the connection (RST) after this much of the response."""

    after: Sent = Sent.NOTHING
    answer: Answer = field(default_factory=Success)

    def play(self, exchange: Exchange) -> None:
        exchange.send(self.after.of(self.answer.response(exchange)))
        exchange.reset()


@dataclass(frozen=True)
class Close(Step):
    """Closes the connection normally after this much of the response."""

    after: Sent = Sent.NOTHING
    answer: Answer = field(default_factory=Success)

    def play(self, exchange: Exchange) -> None:
        exchange.send(self.after.of(self.answer.response(exchange)))
        exchange.close()


@dataclass(frozen=True)
class Hang(Step):
    """Hangs until the upstream releases it; then another step."""

    then: Step = field(default_factory=Close)

    def play(self, exchange: Exchange) -> None:
        exchange.hold(None)
        self.then.play(exchange)


@dataclass(frozen=True)
class HangBeforeReading(Step):
    """Hangs without reading the request; resets the connection when the upstream releases it."""

    reads_request: ClassVar[bool] = False

    def play(self, exchange: Exchange) -> None:
        exchange.hold(None)
        exchange.reset()


@dataclass(frozen=True)
class Drip(Step):
    """A response byte by byte with `interval` seconds before each, after the part `at_once`.

    When the upstream releases it, the connection is closed at once.
    """

    interval: float
    at_once: Sent = Sent.NOTHING
    answer: Answer = field(default_factory=Success)

    def play(self, exchange: Exchange) -> None:
        response = self.answer.response(exchange)
        start = self.at_once.of(response)
        exchange.send(start)
        for byte in (head(response) + response.body)[len(start) :]:
            if exchange.hold(self.interval):
                exchange.close()
                return
            exchange.send(bytes([byte]))


def head(response: AwsResponse) -> bytes:
    """Returns the status line and the headers, with the length of the body."""
    headers = {**response.headers, "content-length": str(len(response.body))}
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
