"""Credentials of gRPC ports that are reloaded from their files."""

import time
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc

from tokend_server.tls_files import ReloadedTlsFiles, TlsFiles, TlsGauges, TlsMaterial

#: The number of sleeps, and the seconds of each, before gRPC replaces the credentials of handshakes.
_SLEEPS, _SLEEP_SECONDS = 10, 0.005

#: Receives the parsed authorities of clients that are trusted from now on.
_Trust: TypeAlias = Callable[[Any], None]


class ReloadedCredentials:
    """Credentials that are reloaded when their files have changed, and kept if the new files cannot be used.

    Files are checked for every new connection, before its handshake, and by `reload_if_changed`. Existing connections
    keep their certificate until they end, at the latest at their maximum age.

    Args:
        files: The files.
        address: The listener, for the log.
        gauges: The metrics of the files.
        trust: Receives the authorities of clients before any handshake uses them.
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
        self._reloaded = ReloadedTlsFiles(files, address, gauges, self._configuration)

    def port_credentials(self) -> grpc.ServerCredentials:
        """Returns credentials for one port; each port needs its own, because gRPC fetches an update only once."""
        current = self._reloaded.current
        return grpc.dynamic_ssl_server_credentials(
            current,
            _CredentialsFetcher(current, self._reloaded.for_handshake, self._sleep),  # type: ignore[arg-type] # the stubs lack that it may be None
            require_client_authentication=self._demands_certificates,
        )

    def reload_if_changed(self) -> None:
        """Reloads the files if they have changed."""
        self._reloaded.reload_if_changed()

    def _configuration(self, material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
        if self._trust:
            self._trust(material.authorities)
        return grpc.ssl_server_certificate_configuration(
            [(bytes(material.private_key), material.certificate_chain)], material.client_authorities
        )


class _CredentialsFetcher:
    """Returns new credentials to the handshakes of one port when they have changed.

    It must not call gRPC: while gRPC calls it, all of gRPC's threads may be waiting for its result.

    gRPC calls it under a lock, but uses the result after the release of the lock, and frees the replaced credentials
    even if another handshake has just been told to use them (grpc/grpc issue 36693), which ends the process by SIGSEGV.
    Therefore a call with new credentials keeps the lock for a while: earlier handshakes then have what they need, and
    later handshakes wait.

    Args:
        handed: The credentials that gRPC has.
        latest: Returns the credentials that it should have.
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
        # Several short sleeps rather than one: if the process is stopped meanwhile, most of them are still to come.
        for _ in range(_SLEEPS):
            self._sleep(_SLEEP_SECONDS)
        self._handed = latest
        return latest
