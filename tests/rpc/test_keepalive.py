"""Keepalive pings of clients (RFC 9113, section 6.7)."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import grpc
import pytest
from tests.attacks import http2
from tests.support.grpc_service import TIMEOUT, GrpcService, grpc_service
from tests.support.health import SERVING, check_health, wait_for, watch_health

#: Two pings more than gRPC tolerates.
PINGS = 5

#: Seconds, a little more than the interval: the server measures it again.
BETWEEN = 1.1


@contextmanager
def connection(service: GrpcService, stream: bytes = b"") -> Iterator[socket.socket]:
    host, _, port = service.address.rpartition(":")
    with socket.create_connection((host, int(port)), TIMEOUT) as connection:
        connection.sendall(http2.PREFACE + http2.settings() + http2.settings_ack() + stream)
        yield connection


def frames(connection: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Yields the server's frames, until it closes the connection."""
    reader = http2.FrameReader()
    while octets := connection.recv(65_536):
        for kind, flags, _, payload in reader.feed(octets):
            if kind != http2.SETTINGS and not (kind == http2.PING and not flags):
                yield kind, payload


def ping(number: int) -> bytes:
    return http2.frame(http2.PING, 0, 0, number.to_bytes(8))


#: A call that stays open: a health watch with only its first response.
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
            time.sleep(BETWEEN)  # the server enforces a minimum interval


@pytest.mark.parametrize("stream", [b"", WATCH], ids=["without calls", "with a call that says nothing"])
def test_pings_below_the_interval_end_the_connection(stream: bytes) -> None:
    with grpc_service(min_ping_interval_seconds=3600) as service, connection(service, stream) as client:
        if stream:
            # Data from the server resets the count of pings: they start after the response to the watch.
            answers = frames(client)
            next(kind for kind, _ in answers if kind == http2.DATA)
        client.sendall(b"".join(map(ping, range(PINGS))))
        assert any(kind == http2.GOAWAY and b"too_many_pings" in payload for kind, payload in frames(client))


class Tap:
    """A proxy between one client and the server, which counts their connection-level frames.

    Attributes:
        address: The address for the client.
        pings: Released for each ping of the client.
        connections: The number of connections.
        goaways: The server's GOAWAYs.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "{}:{}".format(*self._listener.getsockname())
        self.pings = threading.Semaphore(0)
        self.connections = 0
        self.goaways: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        host, _, port = self._server.rpartition(":")
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection((host, int(port)))
            for source, sink, skipped in ((client, server, len(http2.PREFACE)), (server, client, 0)):
                threading.Thread(target=self._relay, args=(source, sink, skipped), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, skipped: int) -> None:
        reader, from_client = http2.FrameReader(), bool(skipped)
        with suppress(OSError), source, sink:  # one of them has ended
            while octets := source.recv(65_536):
                for kind, flags, _, payload in reader.feed(octets[skipped:]):
                    if kind == http2.PING and not flags and from_client:
                        self.pings.release()
                    if kind == http2.GOAWAY and not from_client:
                        self.goaways.append(payload)
                skipped = max(0, skipped - len(octets))
                sink.sendall(octets)


@pytest.mark.parametrize("watches", [True, False], ids=["with a health watch", "without calls"])
def test_the_keepalive_of_a_real_client_at_the_interval_is_welcome(*, watches: bool) -> None:
    options = [
        ("grpc.keepalive_time_ms", 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
    ]
    with grpc_service(min_ping_interval_seconds=1) as service:
        tap = Tap(service.address)
        with grpc.insecure_channel(tap.address, options) as channel:
            service.server.set_serving(True)
            if watches:
                wait_for(watch := watch_health(channel), SERVING)
            assert check_health(channel) == SERVING
            for _ in range(PINGS):
                assert tap.pings.acquire(timeout=TIMEOUT)
            assert check_health(channel) == SERVING
            assert (tap.connections, tap.goaways) == (1, [])
            if watches:
                watch.cancel()
        tap.close()
