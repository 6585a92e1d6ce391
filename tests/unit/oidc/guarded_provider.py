"""An OpenID Connect provider over https with its own certificate, which requires a bearer token."""

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fakes.oidc_provider import OidcProvider
from tests.support.certificates import HOST, write_certificate


class GuardedProvider:
    """Serves a provider that does not listen itself, while the context manager is active.

    Args:
        behind: The provider.
        directory: The directory for the certificate.
        token: The required bearer token; None requires none.
        host: The address in its certificate and its issuer; it listens on the loopback address in any case.

    Attributes:
        ca_file: The authority of the certificate.
        port: Its port.
        token: The required token; may be changed.
        shown: The requested paths with the authorizations.
    """

    def __init__(self, behind: OidcProvider, directory: Path, token: str | None = None, host: str = HOST) -> None:
        certificate = write_certificate(directory, host)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate_file, certificate.private_key_file)
        self.ca_file = certificate.certificate_file
        self.token = token
        self.shown: list[tuple[str, str | None]] = []
        self.behind = behind
        self._server = _Server(self, context)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.port = self._server.server_port
        behind.issuer = f"https://{host}:{self.port}"

    @property
    def issuer(self) -> str:
        return self.behind.issuer

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str, authorization: str | None) -> tuple[int, bytes]:
        self.shown.append((path, authorization))
        if self.token is not None and authorization != f"Bearer {self.token}":
            return 401, b"{}"
        return self.behind.answer(path)


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, provider: GuardedProvider, context: ssl.SSLContext) -> None:
        super().__init__((HOST, 0), _Handler)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.provider = provider


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        status, body = self.server.provider.answer(self.path, self.headers["authorization"])
        self.send_response(status)
        self.send_header("location", f"{self.server.provider.issuer}/elsewhere")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the base class's
        """Logs nothing."""
