"""TLS of HTTP listeners, with files that are reloaded."""

import ssl
from functools import partial
from typing import TypeAlias

from tokend_server.tls_files import ReloadedTlsFiles, TlsFiles, TlsGauges, TlsMaterial

#: The context of new connections; existing ones keep their certificate.
ReloadedContext: TypeAlias = ReloadedTlsFiles[ssl.SSLContext]


def reloaded_context(files: TlsFiles, address: str, gauges: TlsGauges) -> ReloadedContext:
    """Returns a context with TLS 1.2 or later and the files of a listener.

    Args:
        files: The files.
        address: The listener, for the log.
        gauges: The metrics of the files.

    Raises:
        ValueError: The files cannot be used.
    """
    return ReloadedTlsFiles(files, address, gauges, partial(_context, files))


def _context(files: TlsFiles, material: TlsMaterial) -> ssl.SSLContext:
    """Returns a context with the files.

    Raises:
        ValueError: They have changed since they were read, or OpenSSL rejects them.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # OpenSSL reads a key only from a file, and would ask the terminal for the password of an encrypted one.
        context.load_cert_chain(files.certificate, files.private_key, password="")
    except OSError as error:
        raise ValueError(f"{files.certificate}, {files.private_key}: {error.strerror or error}") from None
    if material.client_authorities is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=material.client_authorities.decode("ascii"))
    return context
