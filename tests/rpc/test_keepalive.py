"""Pings of clients that keep their connections alive (RFC 9113, section 6.7)."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.attacks import http2
from tests.support.grpc_service import PATIENCE, GrpcService, grpc_service

#: Pings above what gRPC forgives, two of them.
PINGS = 5

#: Seconds, a little more than the interval: the server measures it again.
BETWEEN = 1.1


@contextmanager
def connection(service: GrpcService, stream: bytes = b"") -> Iterator[socket.socket]:
    host, _, port = service.address.rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        connection.sendall(http2.PREFACE + http2.settings() + http2.settings_ack() + stream)
        yield connection


def frames(connection: socket.socket) -> Iterator[tuple[int, bytes]]:
    """The server's frames, until it closes the connection."""
    reader = http2.FrameReader()
    while octets := connection.recv(65_536):
        for kind, flags, _, payload in reader.feed(octets):
            if kind != http2.SETTINGS and not (kind == http2.PING and not flags):
                yield kind, payload


def ping(number: int) -> bytes:
    return http2.frame(http2.PING, 0, 0, number.to_bytes(8))


#: A call that stays open: a watch of health, whose first answer comes and nothing after it.
WATCH = b"".join(http2.header_frames(1, http2.request_block("/grpc.health.v1.Health/Watch"))) + http2.data_frames(
    1, http2.message(b"")
)


@pytest.mark.parametrize("stream", [b"", WATCH], ids=["without calls", "with a call that says nothing"])
def test_pings_at_the_interval_are_answered(stream: bytes) -> None:
    with grpc_service(min_ping_interval_seconds=1) as service, connection(service, stream) as client:
        answers = frames(client)
        for number in range(PINGS):
            client.sendall(ping(number))
            payload = next(payload for kind, payload in answers if kind in {http2.PING, http2.GOAWAY})
            assert payload == number.to_bytes(8)
            time.sleep(BETWEEN)  # what is asked for is an interval


@pytest.mark.parametrize("stream", [b"", WATCH], ids=["without calls", "with a call that says nothing"])
def test_pings_below_the_interval_end_the_connection(stream: bytes) -> None:
    with grpc_service(min_ping_interval_seconds=3600) as service, connection(service, stream) as client:
        if stream:
            # What the server sends forgives earlier pings: they begin when the watch has been answered.
            answers = frames(client)
            next(kind for kind, _ in answers if kind == http2.DATA)
        client.sendall(b"".join(map(ping, range(PINGS))))
        assert any(kind == http2.GOAWAY and b"too_many_pings" in payload for kind, payload in frames(client))
