"""The TLS files of a listener, which a test replaces."""

from pathlib import Path

from tests.support.authority import Authority, Identification

from tokend_server.tls_files import TlsFiles

LOOPBACK = "127.0.0.1"


class Rotated:
    """The files of a listener, and their current contents.

    Attributes:
        files: The files.
        authority: The authority that clients trust.
        served: The listener's certificate.
        settings: The settings of [grpc] with the files.
    """

    def __init__(self, directory: Path) -> None:
        self.files = TlsFiles(directory / "tls.crt", directory / "tls.key", directory / "clients.crt")
        self.authority = Authority("servers.example.test")
        self.rotate()
        self.accept(self.authority)
        self.settings: dict[str, object] = {
            "tls_certificate_file": self.files.certificate,
            "tls_private_key_file": self.files.private_key,
            "tls_client_ca_file": self.files.client_ca,
        }

    def rotate(self) -> None:
        self.served = self.authority.server(LOOPBACK)
        replace_file(self.files.certificate, self.served.certificate)
        replace_file(self.files.private_key, self.served.private_key)

    def accept(self, *clients: Authority) -> None:
        assert self.files.client_ca
        replace_file(self.files.client_ca, b"".join(each.certificate for each in clients))

    def client(self, of: Authority | None = None) -> Identification:
        return (of or self.authority).client(dns_names=["client.example.test"])


def replace_file(path: Path, content: bytes) -> None:
    successor = path.with_suffix(".new")
    successor.write_bytes(content)
    successor.rename(path)
