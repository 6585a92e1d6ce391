"""Calls with headers, but without messages."""

import socket
from collections.abc import Iterator, Sequence
from typing import Self

from tests.attacks import http2
from tests.support.grpc_service import TIMEOUT

from tokend_server.rpc.server import SERVICE_NAME


class SilentCalls:
    """A connection for calls of one method.

    Args:
        address: The server.
        method: The name of the method, or its path.
        settings: The client's HTTP/2 settings.
        metadata: The metadata of each call.
    """

    def __init__(
        self, address: str, method: str, *settings: tuple[int, int], metadata: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._metadata = metadata
        self._path = method if method.startswith("/") else f"/{SERVICE_NAME}/{method}"
        self._frames = http2.FrameReader()
        self._ended: list[int] = []
        self._open: set[int] = set()
        self._streams = iter(range(1, 2**31, 2))
        host, _, port = address.rpartition(":")
        self._connection = socket.create_connection((host, int(port)), TIMEOUT)
        self._connection.sendall(http2.PREFACE + http2.settings(*settings) + http2.settings_ack())

    def begin(self, count: int = 1) -> Sequence[int]:
        """Starts calls, and returns their streams."""
        streams = [next(self._streams) for _ in range(count)]
        self._open.update(streams)
        block = http2.request_block(self._path, self._metadata)
        self._connection.sendall(b"".join(b"".join(http2.header_frames(stream, block)) for stream in streams))
        return streams

    def send(self, stream: int, serialized: bytes) -> None:
        """Sends the message of a call."""
        self._connection.sendall(http2.data_frames(stream, http2.message(serialized)))

    def cancel(self, stream: int) -> None:
        """Cancels a call."""
        self._connection.sendall(http2.reset(stream))

    def next_ended(self) -> int:
        """Waits until a call ends, by trailers or by a reset, and returns its stream."""
        while not self._ended:
            octets = self._connection.recv(65_536)
            if not octets:
                raise ConnectionError("the server has closed the connection")
            self._ended += self._ended_by(octets)
        return self._ended.pop(0)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ended_by(self, octets: bytes) -> Iterator[int]:
        for kind, flags, stream, _payload in self._frames.feed(octets):
            is_end = kind == http2.RST_STREAM or (kind == http2.HEADERS and flags & http2.END_STREAM)
            if is_end and stream in self._open:  # a reset may follow trailers
                self._open.discard(stream)
                yield stream
