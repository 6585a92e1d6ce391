"""The settings of gRPC listeners: addresses, TLS and authenticators."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from tokend_server.config.addresses import UNIX
from tokend_server.config.addresses import is_local as only_this_machine_reaches
from tokend_server.config.fields import (
    MAX_INT32,
    Addresses,
    CallerPatterns,
    CommaSeparated,
    GrpcAddress,
    Seconds,
    Section,
)
from tokend_server.config.paths import LocalPath
from tokend_server.tls_files import TlsFiles

#: The authenticators of callers.
Authenticator: TypeAlias = Literal["mutual_tls", "jwt", "bearer_key", "x_forwarded_client_cert"]

#: The minimum number of concurrent calls on a connection, however few threads there are.
_MIN_STREAMS = 32


class TlsSettings(Section):
    """The TLS files of an address."""

    tls_certificate_file: LocalPath | None = Field(
        None, description="PEM certificate chain; enables TLS on TCP addresses"
    )
    tls_private_key_file: LocalPath | None = Field(None, description="PEM private key of the certificate")
    tls_client_ca_file: LocalPath | None = Field(
        None,
        description="PEM certificates of the authorities of clients; clients without such a certificate are refused",
    )


class AddressGuard(TlsSettings):
    """The TLS files and the authenticators of an address."""

    identify_by: Annotated[list[Authenticator], *CommaSeparated] = Field(
        [],
        description="Authenticators of callers, in order: `mutual_tls`, `jwt`, `bearer_key`, "
        "`x_forwarded_client_cert`; none: callers are not identified",
    )
    trusted_proxies: CallerPatterns = Field(
        [], description="Patterns of callers whose `x-forwarded-client-cert` is trusted, on TCP addresses"
    )


class Guard(AddressGuard):
    """The access settings of an address for calls."""

    shared_connections: bool | None = Field(
        None,
        description="Connections carry calls of several callers, as a proxy's do; "
        "default: on unix sockets, and with `x_forwarded_client_cert`",
    )


class Listener(Guard):
    """An address with its access settings."""

    address: GrpcAddress

    @property
    def is_unix_socket(self) -> bool:
        """Whether it is a unix socket."""
        return self.address.startswith(UNIX)

    @property
    def socket_path(self) -> str:
        """The path of its unix socket."""
        return self.address.removeprefix(UNIX)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return only_this_machine_reaches(self.address)

    @property
    def has_shared_connections(self) -> bool:
        """Whether a connection may carry the calls of several callers."""
        if self.shared_connections is not None:
            return self.shared_connections
        return self.is_unix_socket or "x_forwarded_client_cert" in self.identify_by

    @property
    def tls_files(self) -> TlsFiles | None:
        """Its TLS files; None if it has none."""
        if self.is_unix_socket or self.tls_certificate_file is None or self.tls_private_key_file is None:
            return None
        return TlsFiles(self.tls_certificate_file, self.tls_private_key_file, self.tls_client_ca_file)

    def problems(self) -> Iterator[str]:
        """Yields contradictions between its settings."""
        if not self.is_unix_socket:
            yield from self._tls_problems()
        if "mutual_tls" in self.identify_by:
            if self.is_unix_socket:
                yield "mutual_tls is not for unix sockets"
            elif self.tls_client_ca_file is None:
                yield "mutual_tls needs tls_client_ca_file"
        if "x_forwarded_client_cert" in self.identify_by:
            yield from self._proxy_problems()

    def _tls_problems(self) -> Iterator[str]:
        if (self.tls_certificate_file is None) != (self.tls_private_key_file is None):
            yield "tls_certificate_file and tls_private_key_file must be given together"
        elif self.tls_client_ca_file and self.tls_certificate_file is None:
            yield "tls_client_ca_file needs tls_certificate_file and tls_private_key_file"
        elif files := self.tls_files:
            try:
                files.read()
            except ValueError as error:
                yield f"the TLS files cannot be used: {error}"

    def _proxy_problems(self) -> Iterator[str]:
        before = self.identify_by[: self.identify_by.index("x_forwarded_client_cert")]
        if "mutual_tls" in before:
            yield "x_forwarded_client_cert must come before mutual_tls, which would identify the proxy as the caller"
        if not self.is_unix_socket and not (self.tls_client_ca_file and self.trusted_proxies):
            yield "x_forwarded_client_cert needs tls_client_ca_file and trusted_proxies, or a unix socket"


class Grpc(Guard):
    """The gRPC listeners."""

    listen: Addresses = Field(
        ["127.0.0.1:50051"],
        min_length=1,
        description="Addresses, HOST:PORT or unix:PATH; comma-separated in the environment",
    )
    listeners: dict[GrpcAddress, Guard] = Field(
        {},
        description="Values of `tls_certificate_file` to `shared_connections` for single addresses",
    )
    insecure: bool = Field(
        False, description="Allow addresses that others can reach without TLS, identified callers or a policy"
    )
    health: Literal["anyone", "identified"] = Field("anyone", description="Who may call the health service")
    reflection: bool = Field(True, description="Serve gRPC reflection, to identified callers if `identify_by` is set")
    threads: int = Field(16, ge=1, le=1024, description="Threads that work on calls")
    max_receive_message_bytes: int = Field(
        2_621_440,
        ge=1024,
        le=MAX_INT32,
        description="Largest request; the default allows every request within the contract's limits",
    )
    max_metadata_bytes: int = Field(
        8192, ge=1024, le=2**20, description="Maximum of a call's metadata, as defined by HTTP/2"
    )
    max_concurrent_streams: int | None = Field(
        None,
        ge=1,
        le=MAX_INT32,
        description="Concurrent calls on a connection (HTTP/2 streams), above which its client queues them; "
        "default twice `grpc.threads`, at least 32",
    )
    max_connections: int = Field(
        # With MAX_INT32 itself, gRPC aborts the process.
        1000,
        ge=1,
        le=MAX_INT32 - 1,
        description="Maximum of connections to an address; an eighth of them is reserved for new clients",
    )
    handshake_timeout_seconds: int = Field(
        10, ge=1, le=3600, description="Timeout of the TLS and HTTP/2 handshakes of a connection"
    )
    pause_after_refusal_seconds: float = Field(
        0.02,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Pause for a caller's calls from one host, or for those of all unknown callers from it, after each "
        "call that was unauthenticated, malformed or above the caller's limits; 0: none",
    )
    min_ping_interval_seconds: int = Field(
        5,
        ge=1,
        le=3600,
        description="Minimum time between two keepalive pings of a client, with or without calls; more frequent pings "
        "close the connection (`too_many_pings`)",
    )
    message_timeout_seconds: float = Field(
        10.0,
        gt=0,
        le=3600,
        allow_inf_nan=False,
        description="Timeout of a call's message after its headers",
    )
    max_connection_idle_seconds: int = Field(
        60, ge=1, le=86_400, description="Time without a call after which a connection is closed gracefully"
    )
    max_connection_age_seconds: int = Field(
        180, ge=1, le=86_400, description="Age at which a connection is closed gracefully"
    )
    max_connection_age_grace_seconds: int = Field(10, ge=1, le=86_400, description="Time for its calls to finish then")
    drain_delay_seconds: Seconds = Field(5.0, description="On SIGTERM: time to report NOT_SERVING before stopping")
    drain_grace_seconds: Seconds = Field(10.0, description="Then: time for calls in flight to finish")

    @property
    def all_listeners(self) -> Sequence[Listener]:
        """All addresses with their access settings."""
        common = {name: getattr(self, name) for name in Guard.model_fields}
        return [Listener(address=address, **{**common, **self._own(address)}) for address in self.listen]

    @property
    def concurrent_streams(self) -> int:
        """The number of concurrent calls on a connection: more than threads, but too few to delay others."""
        return self.max_concurrent_streams or max(2 * self.threads, _MIN_STREAMS)

    def _own(self, address: str) -> dict[str, object]:
        own = self.listeners.get(address)
        return {name: getattr(own, name) for name in own.model_fields_set} if own else {}

    def _own_problems(self) -> Iterator[str]:
        for address in self.listeners:
            if address not in self.listen:
                yield f"listeners: {address} is not in listen"
        for listener in self.all_listeners:
            where = f"listeners.{listener.address}: " if listener.address in self.listeners else ""
            yield from (where + problem for problem in listener.problems())
