"""TLS of HTTP listeners, by files that are followed."""

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from tokend_server.tls_files import TlsFiles, TlsMaterial

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsGauges:
    """The metrics of a listener's files, and of the connections that ask for them.

    Attributes:
        expires_at: Called with the time at which the certificate that serves expires, in seconds since the Unix epoch.
        stale: Called with 1 when the files cannot be used, so that those before them still serve, else 0.
        handshake: Called when a handshake begins.
    """

    expires_at: Callable[[float], None]
    stale: Callable[[float], None]
    handshake: Callable[[], None]


class FollowingContext:
    """TLS 1.2 or later, with files that are read again when they have changed, and kept when new ones cannot be used.

    It is for one thread, which looks at the files for every new connection. Connections that exist keep the certificate
    that they were shown.

    Args:
        files: The files.
        address: The listener, for the log.
        gauges: Where the state of the files is reported.

    Raises:
        ValueError: The files cannot be used.
    """

    def __init__(self, files: TlsFiles, address: str, gauges: TlsGauges) -> None:
        self._files = files
        self._address = address
        self._gauges = gauges
        self._seen = files.stamp()
        self._current = self._loaded()

    def for_handshake(self) -> ssl.SSLContext:
        """What a handshake that begins now is to use."""
        self._gauges.handshake()
        self._look()
        return self._current

    def _look(self) -> None:
        stamp = self._files.stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._current = self._loaded()
        except ValueError as error:
            self._gauges.stale(1)
            members = {"listen": self._address, "problem": str(error)}
            _log.error("TLS files cannot be used; those before them still serve", extra=members)
        else:
            _log.info("TLS files loaded", extra={"listen": self._address})

    def _loaded(self) -> ssl.SSLContext:
        material = self._files.read()
        context = _context(self._files, material)
        self._gauges.expires_at(material.expires_at.timestamp())
        self._gauges.stale(0)
        return context


def _context(files: TlsFiles, material: TlsMaterial) -> ssl.SSLContext:
    """What serves with the files.

    Raises:
        ValueError: They have changed since they were read, or OpenSSL does not take them.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # OpenSSL takes a key from a file alone; it would ask the terminal for the password of an encrypted one.
        context.load_cert_chain(files.certificate, files.private_key, password="")
    except OSError as error:
        raise ValueError(f"{files.certificate}, {files.private_key}: {error.strerror or error}") from None
    if material.client_authorities is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=material.client_authorities.decode("ascii"))
    return context
