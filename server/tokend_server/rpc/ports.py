"""The ports of gRPC servers, with their addresses, their TLS files and the modes of their unix sockets."""

import os
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import quote

import grpc

from tokend_server.access.authentication.client_certificates import ClientCertificates
from tokend_server.clock import Clock
from tokend_server.config import Listener
from tokend_server.config.addresses import UNIX
from tokend_server.errors import ConfigError
from tokend_server.metrics import Metrics
from tokend_server.process.listening import prepare_socket_path, reachable_address, usable_endpoints, with_port
from tokend_server.rpc.tls import ReloadedCredentials

#: The mode of a unix socket: access for the server's user and group.
_SOCKET_MODE = 0o660


#: A server of grpcio, with threads or with asyncio.
Server: TypeAlias = grpc.Server | grpc.aio.Server


class Opened(NamedTuple):
    """An address on which a server listens.

    Attributes:
        listen: The address with its actual port.
        reachable: The address at which this machine can reach it.
    """

    listen: str
    reachable: str

    @property
    def port(self) -> int:
        """The port, unless it is a unix socket."""
        return int(self.listen.rpartition(":")[2])


class Ports:
    """Opens the ports of one section of the configuration.

    Args:
        section: Its name.
        metrics: The metrics of TLS files.
    """

    def __init__(self, section: str, metrics: Metrics) -> None:
        self._section = section
        self._metrics = metrics
        self._reloaded: list[ReloadedCredentials] = []

    def open(self, server: Server, listener: Listener, certificates: ClientCertificates | None) -> Opened:
        """Makes a server listen on an address.

        Args:
            server: The server, which has not been started.
            listener: The address and its TLS settings.
            certificates: Receives the authorities of clients.

        Raises:
            ConfigError: The server cannot listen on it, or its files cannot be used.
        """
        address, setting = listener.address, f"{self._section}.listen"
        if listener.is_unix_socket:
            prepare_socket_path(setting, listener.socket_path)
            self.add(server, address)
            Path(listener.socket_path).chmod(_SOCKET_MODE)
            return Opened(address, address)
        reloaded = self._reloaded_credentials(listener, certificates)
        first, *others = usable_endpoints(setting, address)
        port = self.add(server, first, reloaded)
        for other in others:
            self.add(server, with_port(other, port), reloaded)
        return Opened(with_port(address, port), reachable_address(with_port(first, port)))

    def add(self, server: Server, address: str, reloaded: ReloadedCredentials | None = None) -> int:
        """Makes a server listen on one endpoint, and returns its port.

        Raises:
            ConfigError: The server cannot listen on it.
        """
        try:
            if reloaded is None:
                return server.add_insecure_port(url_of(address))
            return server.add_secure_port(address, reloaded.port_credentials())
        except RuntimeError as error:  # it has no reason; the usual reasons were ruled out before
            raise ConfigError(
                [f"{self._section}.listen: gRPC cannot listen on {address}; has another server just taken it?"]
            ) from error

    def reload_tls_files(self) -> None:
        """Reloads TLS files that have changed; new connections do so too."""
        for reloaded in self._reloaded:
            reloaded.reload_if_changed()

    def _reloaded_credentials(
        self, listener: Listener, certificates: ClientCertificates | None
    ) -> ReloadedCredentials | None:
        files, address = listener.tls_files, listener.address
        if files is None:
            return None
        gauges = self._metrics.tls_gauges(address)
        try:
            reloaded = ReloadedCredentials(files, address, gauges, certificates.trust if certificates else None)
        except ValueError as error:
            raise ConfigError([f"{self._section}: the TLS files cannot be used: {error}"]) from error
        self._reloaded.append(reloaded)
        return reloaded


def url_of(address: str) -> str:
    """An address as gRPC reads it: with the path of a unix socket, which need not be text, as the part of a URL."""
    if not address.startswith(UNIX):
        return address
    return UNIX + quote(os.fsencode(address.removeprefix(UNIX)))


def client_certificates(listener: Listener, clock: Clock) -> ClientCertificates | None:
    """Returns the reader of client certificates of a listener; None if it does not require them."""
    demands = listener.tls_files is not None and listener.tls_client_ca_file is not None
    return ClientCertificates(clock) if demands else None
