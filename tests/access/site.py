"""A server with changing TLS files, and their authorities."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from tests.access.guarded_service import SPIFFE
from tests.access.load import Load
from tests.support.authority import Authority, Identification
from tests.support.grpc_service import TIMEOUT
from tests.support.server_process import ServerProcess, write_config

ADDRESS = "127.0.0.1"
CERTIFICATE, KEY, AUTHORITIES = "tls.crt", "tls.key", "clients.crt"

Contents = Mapping[str, bytes]
Write = Callable[[Path, Contents], None]


def rename(directory: Path, contents: Contents) -> None:
    """Replaces one complete file after the other."""
    for name, content in contents.items():
        (directory / f"{name}.new").write_bytes(content)
    for name in contents:
        (directory / f"{name}.new").replace(directory / name)


def overwrite(directory: Path, contents: Contents) -> None:
    """Overwrites one file after the other, so that a file is incomplete for a moment."""
    for name, content in contents.items():
        half = len(content) // 2
        with (directory / name).open("wb", buffering=0) as file:
            file.write(content[:half])
            file.write(content[half:])


def swap(directory: Path, contents: Contents) -> None:
    """Replaces all files at once, like Kubernetes for a secret."""
    data = directory / "..data"
    kept = {path.name: path.read_bytes() for path in data.iterdir()} if data.exists() else {}
    version = directory / f"..{time.monotonic_ns()}"
    version.mkdir()
    for name, content in {**kept, **contents}.items():
        (version / name).write_bytes(content)
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(Path("..data") / name)
    (directory / "..data.new").symlink_to(version.name)
    (directory / "..data.new").replace(data)


class Site:
    """The files of a server, and their authorities.

    Args:
        directory: The directory of the files.
        write: Writes the files.

    Attributes:
        files: The paths of the files.
        servers: The authority of the server's certificates.
        first: The authority of its clients' certificates.
        client: A client certificate from that authority.
    """

    def __init__(self, directory: Path, write: Write = overwrite) -> None:
        self.files, self._write = directory, write
        self.servers, self.first = Authority("servers"), Authority("clients")
        self.client = self.first.client(uris=[SPIFFE])
        (directory / "client.crt").write_bytes(self.client.certificate)
        (directory / "client.key").write_bytes(self.client.private_key)
        self.put({**contents_of(self.servers.server(ADDRESS)), AUTHORITIES: self.first.certificate})

    def put(self, contents: Contents) -> None:
        self._write(self.files, contents)

    def put_certificate(self) -> Identification:
        """Replaces the server's certificate and key."""
        identification = self.servers.server(ADDRESS)
        self.put(contents_of(identification))
        return identification

    def served(self, server: ServerProcess) -> int:
        """Returns the serial number of the certificate on a new connection."""
        context = ssl.create_default_context(cadata=self.servers.certificate.decode())
        context.load_cert_chain(self.files / "client.crt", self.files / "client.key")
        context.set_alpn_protocols(["h2"])
        host, _, port = server.endpoint.rpartition(":")
        with (
            socket.create_connection((host, int(port)), TIMEOUT) as connection,
            context.wrap_socket(connection, server_hostname=host) as secured,
        ):
            return x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"").serial_number

    def load(self, server: ServerProcess) -> Load:
        return Load(server.endpoint, self.servers.certificate, self.client)


def contents_of(identification: Identification) -> Contents:
    return {CERTIFICATE: identification.certificate, KEY: identification.private_key}


@contextmanager
def serving(site: Site) -> Iterator[ServerProcess]:
    """A server whose connections live for a second, so that clients with a reused channel also see every change."""
    guard = f"""
tls_certificate_file = "{site.files / CERTIFICATE}"
tls_private_key_file = "{site.files / KEY}"
tls_client_ca_file = "{site.files / AUTHORITIES}"
identify_by = ["mutual_tls"]
max_connection_age_seconds = 1
"""
    more = f"""
[limits]
calls_per_second = 0
[policy.shop]
callers = ["{SPIFFE}"]
pools = ["*"]
operations = ["*"]
"""
    with ServerProcess(write_config(site.files, more, guard)) as server:
        yield server
