"""A proxy that terminates TLS in front of a server on this machine, as in front of an issuer on the internet."""

import socket
import ssl
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fakes.http_connections import HttpRequest, Listener, read_request
from tests.support.authority import Authority


class TlsTerminator:
    """Forwards one request per connection. Use it as a context manager.

    Args:
        port: The server's port on the loopback.
        directory: The directory for its certificate and key.
        host: The address in its certificate; it listens on the loopback in any case.

    Attributes:
        port: The server's port.
        url: Its https URL.
        ca_file: PEM of the authority of its certificate.
        requests: The received requests.
    """

    def __init__(self, port: int, directory: Path, host: str = "127.0.0.1") -> None:
        authority = Authority("proxy")
        identification = authority.server(host)
        self.ca_file = directory / "ca.pem"
        self.ca_file.write_bytes(authority.certificate)
        certificate = directory / "proxy.pem"
        certificate.write_bytes(identification.certificate + identification.private_key)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self.port = port
        self._listener = Listener(self._serve)
        self.url = f"https://{host}:{self._listener.port}"
        self.requests: list[HttpRequest] = []

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.stop()

    def _serve(self, connection: socket.socket, _number: int) -> None:
        with suppress(OSError), self._context.wrap_socket(connection, server_side=True) as client:
            request = read_request(client)
            self.requests.append(request)
            with socket.create_connection(("127.0.0.1", self.port)) as server:
                headers = [each for each in request.headers if each[0].lower() != "connection"]
                lines = [f"{request.method} {request.target} HTTP/1.1", *map(": ".join, headers), "Connection: close"]
                server.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
                while octets := server.recv(65_536):
                    client.sendall(octets)
