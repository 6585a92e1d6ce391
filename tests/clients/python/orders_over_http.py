"""A user's HTTP service that records its callers, and returns configured responses."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.certificates import Certificate


@dataclass(frozen=True)
class Seen:
    """A request: its path, its `Authorization` (None if there is none) and its body."""

    path: str
    authorization: str | None
    body: bytes


@dataclass
class OrdersOverHttp:
    """The service.

    Attributes:
        url: Its URL, without a final slash.
        seen: The received requests, in order.
        status: Returns the status for a request.
        location: The target of redirects.
    """

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    status: Callable[[Seen], int] = lambda _: 200
    location: str = ""


@contextmanager
def orders_over_http(certificate: Certificate | None = None) -> Iterator[OrdersOverHttp]:
    """Runs the service, over TLS if there is a certificate."""
    service = OrdersOverHttp()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            if self.headers["transfer-encoding"] == "chunked":
                self._answer(b"".join(iter(self._chunk, b"")))
            else:
                self._answer(self.rfile.read(int(self.headers["content-length"])))

        def _chunk(self) -> bytes:
            chunk = self.rfile.read(int(self.rfile.readline(), 16))
            self.rfile.readline()
            return chunk

        def _answer(self, body: bytes) -> None:
            service.seen.append(Seen(self.path, self.headers["authorization"], body))
            self.send_response(service.status(service.seen[-1]))
            self.send_header("location", service.location)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the base class's
            """Logs nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate_file, certificate.private_key_file)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    service.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
