"""Enforces the deadlines of calls to AWS, beyond botocore's own settings.

botocore has a timeout of connections and one of each read of a response, the same for all calls. Here each read may
only take the remaining time of the call, so that a response that arrives byte by byte times out too. botocore reads
responses of any size; here their size is limited.
"""

import io
import socket
from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, IncompleteRead
from typing import Any, Literal

from botocore.awsrequest import AWSHTTPConnection, AWSHTTPConnectionPool, AWSHTTPSConnection, AWSHTTPSConnectionPool

from tokend_server.aws.botocore_internals import use_connections
from tokend_server.clock import Deadline
from tokend_server.final_responses import FinalResponse


@dataclass(slots=True)
class UpstreamCall:
    """A call of an operation, with its retries.

    Attributes:
        operation: The operation, by its name in AWS's API.
        deadline: When it must have ended.
        sent_at: Monotonic time at which the current request was sent; 0 if there is none.
        was_sent: Whether a request has been sent, so that AWS may have executed it.
    """

    operation: str
    deadline: Deadline
    sent_at: float = 0.0
    was_sent: bool = False


#: The maximum size of a response. The largest are DynamoDB's, with up to 16 MB of items (BatchGetItem) before JSON.
MAX_RESPONSE_BYTES = 64 * 2**20

#: The call that the current thread makes.
CURRENT_UPSTREAM_CALL: ContextVar[UpstreamCall | None] = ContextVar("current call", default=None)


def bound_connections(client: Any) -> None:  # noqa: ANN401 - boto3's clients have no types
    """Makes the connections of a boto3 client time out at the deadline of the current call."""
    use_connections(client, http=_HttpConnectionPool, https=_HttpsConnectionPool)


def _within(seconds: float | None) -> float | None:
    """Returns a timeout, shortened to the remaining time of the current call.

    Raises:
        TimeoutError: No time is left.
    """
    call = CURRENT_UPSTREAM_CALL.get()
    if call is None:
        return seconds
    remaining = call.deadline.remaining()
    if not remaining:
        raise TimeoutError
    return remaining if seconds is None else min(seconds, remaining)


class _Bounded:
    """A mixin for botocore's connections."""

    sock: socket.socket | None
    timeout: float | None

    def connect(self) -> None:
        self.timeout = _within(self.timeout)
        super().connect()  # type: ignore[misc]

    def request(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if self.sock is not None:
            self.sock.settimeout(_within(self.timeout))
        return super().request(*args, **kwargs)  # type: ignore[misc]


class _BoundedSocketIO(io.RawIOBase):
    """Reads a response from a socket, with the remaining time as the timeout of each read, and a maximum size."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._timeout = sock.gettimeout()
        self._raw = raw
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:  # noqa: ANN401 - a writable buffer
        self._sock.settimeout(_within(self._timeout))
        size = self._raw.readinto(buffer)
        self._size += size or 0
        if self._size > MAX_RESPONSE_BYTES:
            raise HTTPException("the answer is too large to be AWS's")
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedSocket:
    """The part of a socket's interface that a response uses."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, mode: Literal["rb"]) -> io.BufferedReader:
        return io.BufferedReader(_BoundedSocketIO(self._sock, self._sock.makefile(mode, buffering=0)))


class _BoundedResponse(FinalResponse):
    """A response with a timeout that must be complete: botocore accepts truncated ones."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(_BoundedSocket(sock), *args, **kwargs)  # type: ignore[arg-type]

    def begin(self) -> None:
        super().begin()
        # AWS sends the length of each response. Truncated headers look like fewer headers.
        if self.status == HTTPStatus.OK and self.length is None and not self.chunked:
            raise IncompleteRead(b"")

    def read(self, amt: int | None = None) -> bytes:
        left = self.length
        data = super().read(amt)
        if amt is not None and left is not None and len(data) < min(amt, left):
            raise IncompleteRead(data, left - len(data))
        return data


class _HttpConnection(_Bounded, AWSHTTPConnection):
    response_class = _BoundedResponse


class _HttpsConnection(_Bounded, AWSHTTPSConnection):
    response_class = _BoundedResponse


class _HttpConnectionPool(AWSHTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsConnectionPool(AWSHTTPSConnectionPool):
    ConnectionCls = _HttpsConnection
