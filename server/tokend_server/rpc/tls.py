"""Credentials of gRPC ports that follow their files."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from tokend_server.tls_files import TlsFiles, TlsMaterial

_log = logging.getLogger(__name__)

#: How often, and for how many seconds each, a handshake sleeps before gRPC replaces what handshakes use.
_NAPS, _NAP = 10, 0.005

#: Takes authorities of clients, parsed, for those that are trusted from now on.
_Trust: TypeAlias = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class TlsGauges:
    """The metrics of a listener's files, and of the connections that ask for them.

    Attributes:
        expires_at: Called with the time at which the certificate that serves expires, in seconds since the Unix epoch.
        stale: Called with 1 when the files cannot be used, so that those before them still serve, else 0.
        handshake: Called when a handshake begins; gRPC does not tell how it ends.
    """

    expires_at: Callable[[float], None]
    stale: Callable[[float], None]
    handshake: Callable[[], None]


class FollowingCredentials:
    """Credentials that are read again when their files have changed, and kept when the new ones cannot be used.

    Files are looked at for every new connection, before its handshake, and whenever `look` is called. Connections that
    exist keep the certificate that they were shown until they end, at the latest at their greatest age.

    Args:
        files: The files.
        address: The listener, for the log.
        gauges: Where the state of the files is reported.
        trust: Takes the authorities of clients, before any handshake meets them.
        sleep: Sleeps so many seconds.

    Raises:
        ValueError: The files cannot be used.
    """

    def __init__(
        self,
        files: TlsFiles,
        address: str,
        gauges: TlsGauges,
        trust: _Trust | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._files = files
        self._address = address
        self._gauges = gauges
        self._trust = trust
        self._sleep = sleep
        self._lock = threading.Lock()
        self._seen = files.stamp()
        self._current = self._take(files.read())

    def port_credentials(self) -> grpc.ServerCredentials:
        """Credentials for one port; another port needs others, since gRPC gets news once."""
        return grpc.dynamic_ssl_server_credentials(
            self._current,
            _News(self._current, self._latest, self._sleep),  # type: ignore[arg-type] # the stubs lack that it may be None
            require_client_authentication=self._files.client_ca is not None,
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

    def _latest(self) -> grpc.ServerCertificateConfiguration:
        self._gauges.handshake()
        self.look()
        return self._current

    def _take(self, material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
        self._gauges.expires_at(material.expires_at.timestamp())
        self._gauges.stale(0)
        if self._trust:
            self._trust(material.authorities)
        return grpc.ssl_server_certificate_configuration(
            [(bytes(material.private_key), material.certificate_chain)], material.client_authorities
        )


class _News:
    """Tells the handshakes of one port what to use, if it is something else than so far.

    It needs nothing of gRPC itself: while it is asked, all of gRPC's threads may be waiting for the answer.

    gRPC asks under a lock, but uses the answer after it has let go of the lock, and frees what the answer replaces even
    if another handshake has been told a moment ago to use it (grpc/grpc issue 36693): the process dies by SIGSEGV. So
    whoever has news keeps the lock for a while before it tells them. Those before it then have what they need, and
    those behind it wait.

    Args:
        handed: What gRPC has.
        latest: Tells what it should have.
        sleep: Sleeps so many seconds.
    """

    def __init__(
        self,
        handed: grpc.ServerCertificateConfiguration,
        latest: Callable[[], grpc.ServerCertificateConfiguration],
        sleep: Callable[[float], None],
    ) -> None:
        self._handed = handed
        self._latest = latest
        self._sleep = sleep

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        latest = self._latest()
        if latest is self._handed:
            return None
        # Several naps rather than one sleep: a process that was stopped meanwhile wakes with all but one to come.
        for _ in range(_NAPS):
            self._sleep(_NAP)
        self._handed = latest
        return latest
