"""HTTPS connections that trust only the authorities in a PEM file."""

import ssl
from pathlib import Path

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPSConnection

from tokend_server.pem import read_certificates, write_certificates


def believing(ca_file: Path) -> PoolManager:
    """Returns a pool of such connections; each connection reads the file again.

    Raises:
        ValueError: The file cannot be read or contains no certificate.
    """
    _authorities(ca_file)
    http = PoolManager(ca_certs=str(ca_file), cert_reqs=ssl.CERT_REQUIRED)
    http.pool_classes_by_scheme = {"http": HTTPConnectionPool, "https": _Pool}
    return http


class _Connection(HTTPSConnection):
    """Passes the parsed certificates to OpenSSL, which would silently skip some in the file."""

    def connect(self) -> None:
        file = self.ca_certs
        try:
            self.ca_cert_data = _authorities(Path(file or ""))
        except ValueError as error:
            raise ssl.SSLError(str(error)) from None
        self.ca_certs = None
        try:
            super().connect()
        finally:
            self.ca_certs = file


class _Pool(HTTPSConnectionPool):
    ConnectionCls = _Connection


def _authorities(ca_file: Path) -> str:
    try:
        return write_certificates(read_certificates(ca_file.read_bytes())).decode("ascii")
    except OSError as error:
        raise ValueError(f"{ca_file} holds no certificates that can be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{ca_file} holds no certificates that can be read: {error}") from None
