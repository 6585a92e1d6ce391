"""Credentials of a gRPC port that follow their files."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from tokend_server.tls import TlsFiles, TlsMaterial

_log = logging.getLogger(__name__)


#: Takes authorities of clients, parsed, for those that are trusted from now on.
_Trust: TypeAlias = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class TlsGauges:
    """What is told of a listener's files.

    Attributes:
        expires_at: Is told when the certificate that serves expires, in seconds since the Unix epoch.
        stale: Is told 1 when the files cannot be used, so that those before them still serve, else 0.
    """

    expires_at: Callable[[float], None]
    stale: Callable[[float], None]


class FollowingCredentials:
    """Credentials that are read again when their files have changed, and kept when the new ones cannot be used.

    Files are looked at for every new connection, before its handshake, and whenever `look` is called. Connections that
    exist keep the certificate that they were shown until they end, at the latest at their greatest age.

    Args:
        files: The files.
        address: The listener, for the log.
        gauges: Where it is told how the files are.
        trust: Takes the authorities of clients, before any handshake meets them.

    Raises:
        ValueError: The files cannot be used.
    """

    def __init__(self, files: TlsFiles, address: str, gauges: TlsGauges, trust: _Trust | None = None) -> None:
        self._files = files
        self._address = address
        self._gauges = gauges
        self._trust = trust
        self._lock = threading.Lock()
        self._seen = files.stamp()
        self._current = self._handed = self._take(files.read())
        self.port_credentials = grpc.dynamic_ssl_server_credentials(
            self._current,
            self._news,  # type: ignore[arg-type] # the stubs lack that it may be None
            require_client_authentication=files.client_ca is not None,
        )

    def look(self) -> None:
        """Looks at the files."""
        with self._lock:
            stamp = self._files.stamp()
            if stamp == self._seen:
                return
            self._seen = stamp
            try:
                self._current = self._take(self._files.read())
            except ValueError as error:
                self._gauges.stale(1)
                members = {"listen": self._address, "problem": str(error)}
                _log.error("TLS files cannot be used; those before them still serve", extra=members)
            else:
                _log.info("TLS files loaded", extra={"listen": self._address})

    def _news(self) -> grpc.ServerCertificateConfiguration | None:
        """What the next handshakes use, if it is something else than so far."""
        self.look()
        with self._lock:
            news = None if self._current is self._handed else self._current
            self._handed = self._current
            return news

    def _take(self, material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
        self._gauges.expires_at(material.expires_at.timestamp())
        self._gauges.stale(0)
        if self._trust:
            self._trust(material.authorities)
        return grpc.ssl_server_certificate_configuration(
            [(bytes(material.private_key), material.certificate_chain)], material.client_authorities
        )
