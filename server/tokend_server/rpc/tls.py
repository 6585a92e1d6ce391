"""Credentials of gRPC ports that follow their files."""

import time
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc

from tokend_server.tls_files import FollowedFiles, TlsFiles, TlsGauges, TlsMaterial

#: How often, and for how many seconds each, a handshake sleeps before gRPC replaces what handshakes use.
_NAPS, _NAP = 10, 0.005

#: Takes authorities of clients, parsed, for those that are trusted from now on.
_Trust: TypeAlias = Callable[[Any], None]


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
        self._demands_certificates = files.client_ca is not None
        self._trust = trust
        self._sleep = sleep
        self._followed = FollowedFiles(files, address, gauges, self._configuration)

    def port_credentials(self) -> grpc.ServerCredentials:
        """Credentials for one port; another port needs others, since gRPC gets news once."""
        current = self._followed.current
        return grpc.dynamic_ssl_server_credentials(
            current,
            _News(current, self._followed.for_handshake, self._sleep),  # type: ignore[arg-type] # the stubs lack that it may be None
            require_client_authentication=self._demands_certificates,
        )

    def look(self) -> None:
        """Looks at the files."""
        self._followed.look()

    def _configuration(self, material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
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
