"""A client that may send anything, and may stop reading."""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.grpc_service import TIMEOUT

GET_PAGE = b"GET /page HTTP/1.1\r\nhost: test\r\n\r\n"


@contextmanager
def connected(address: str, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    """A connection; with a small `receive_buffer`, the server notices soon that nothing is read."""
    host, _, port = address.partition(":")
    with socket.socket() as client:
        client.settimeout(TIMEOUT)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect((host, int(port)))
        yield client


def read_to_end(client: socket.socket) -> bytes:
    """Returns all data until the server ends the connection."""
    received = b""
    while data := client.recv(65_536):
        received += data
    return received


def read_answer(client: socket.socket) -> bytes:
    """Returns one response, which has a `content-length`."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _some(client, 1)
    length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
    body = b""
    while len(body) < length:
        body += _some(client, length - len(body))
    return head + body


def is_gone(client: socket.socket, seconds: float = TIMEOUT) -> bool:
    """Returns whether the server ends the connection within some seconds, without reading its data."""
    return _is_signalled(client, select.POLLRDHUP, seconds)


def is_reset(client: socket.socket, seconds: float) -> bool:
    """Returns whether the server closes the connection within some seconds, maybe after shutting down its side."""
    return _is_signalled(client, 0, seconds)


def _is_signalled(client: socket.socket, events: int, seconds: float) -> bool:
    """Returns whether one of the events, or the end of both sides, is signalled."""
    poll = select.poll()
    poll.register(client, events)
    return bool(poll.poll(seconds * 1000))


def _some(client: socket.socket, most: int) -> bytes:
    data = client.recv(most)
    if not data:
        raise ConnectionError("the server ended the connection")
    return data
