"""The gRPC server: services, layers, limits and listeners."""

import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tokend.v1 import developer_identity_service_pb2
from tokend.v1.developer_identity_service_pb2_grpc import add_DeveloperIdentityServiceServicer_to_server
from tokend_server.clock import Clock
from tokend_server.config import ConfigError, Grpc
from tokend_server.metrics import Metrics
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.health import HealthService
from tokend_server.rpc.interceptors.errors import translating_errors
from tokend_server.rpc.interceptors.layers import LayeredInterceptor
from tokend_server.rpc.interceptors.metadata_limit import limiting_metadata
from tokend_server.rpc.interceptors.metrics import counting_unknown_methods, create_series, observing
from tokend_server.rpc.worker_pool import WorkerPool

SERVICE_NAME = developer_identity_service_pb2.DESCRIPTOR.services_by_name["DeveloperIdentityService"].full_name

#: Reflection holds one for as long as a client keeps its stream open; health watches hold none.
_STREAMING_THREADS = 2

#: Who may use a unix socket: the server's user and group.
_SOCKET_MODE = 0o660


class GrpcServer:
    """The service on its listeners.

    Args:
        config: Addresses and limits.
        service: The developer-identity operations.
        metrics: Where calls are counted.
        clock: What they are timed with.

    Raises:
        ConfigError: An address cannot be listened on.
    """

    def __init__(self, config: Grpc, service: DeveloperIdentityService, metrics: Metrics, clock: Clock) -> None:
        layers = [observing(metrics, clock), translating_errors, limiting_metadata(config.max_metadata_bytes)]
        self._workers = WorkerPool(config.threads)
        self._streams = ThreadPoolExecutor(_STREAMING_THREADS, "grpc-stream")
        self._server = grpc.server(
            self._workers,
            interceptors=[LayeredInterceptor(layers, counting_unknown_methods(metrics), self._streams)],
            options=_options(config),
        )
        self._health = HealthService(SERVICE_NAME)
        add_DeveloperIdentityServiceServicer_to_server(service, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [SERVICE_NAME, health.SERVICE_NAME]
        if config.reflection:
            names.append(reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        create_series(map(descriptor_pool.Default().FindServiceByName, names), metrics)
        self.addresses = tuple(self._listen(address, _credentials(config)) for address in config.listen)

    def start(self) -> None:
        """Begins to serve."""
        self._server.start()

    def set_serving(self, serving: bool, /) -> None:
        """Says by grpc.health.v1 whether calls are welcome."""
        self._health.tell(serving=serving)

    def announce_shutdown(self) -> None:
        """Says by grpc.health.v1 that calls are not welcome any more, for good."""
        self._health.enter_graceful_shutdown()

    def stop(self, grace: float) -> None:
        """Takes no more calls, and returns when those in flight are done, or ended after `grace` seconds."""
        stopped = self._server.stop(grace)
        self._health.end_watches()
        stopped.wait()
        self._workers.shutdown()
        self._streams.shutdown(wait=False)

    def _listen(self, address: str, credentials: grpc.ServerCredentials | None) -> str:
        """Listens on an address, and returns it with the port that was taken."""
        if address.startswith("unix:") and _is_served(address.removeprefix("unix:")):
            raise ConfigError([f"grpc.listen: another server is using {address}"])
        try:
            if credentials is None or address.startswith("unix:"):
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise ConfigError([f"grpc.listen: cannot listen on {address}; is another server using it?"]) from error
        if address.startswith("unix:"):
            Path(address.removeprefix("unix:")).chmod(_SOCKET_MODE)
            return address
        return f"{address.rpartition(':')[0]}:{port}"


def _is_served(path: str) -> bool:
    """Tells whether somebody listens on a unix socket, which gRPC would take away without a word."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def _options(config: Grpc) -> Sequence[tuple[str, int]]:
    return (
        ("grpc.so_reuseport", 0),  # a second server on the same port is a mistake to be told, not half of the calls
        ("grpc.max_receive_message_length", config.max_receive_message_bytes),
        ("grpc.max_metadata_size", config.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", 2 * config.max_metadata_bytes),
        ("grpc.max_concurrent_streams", config.max_concurrent_streams),
        ("grpc.max_connection_age_ms", 1000 * config.max_connection_age_seconds),
        ("grpc.max_connection_age_grace_ms", 1000 * config.max_connection_age_grace_seconds),
    )


def _credentials(config: Grpc) -> grpc.ServerCredentials | None:
    if config.tls_certificate_file is None or config.tls_private_key_file is None:
        return None
    pair = (config.tls_private_key_file.read_bytes(), config.tls_certificate_file.read_bytes())
    return grpc.ssl_server_credentials([pair])
