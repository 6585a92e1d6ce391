"""The gRPC server: services, layers, limits and listeners."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import cast

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tokend.v1 import developer_identity_service_pb2
from tokend_server.access.authentication.client_certificates import ClientCertificates
from tokend_server.access.build import AccessControl
from tokend_server.access.ids import UniqueIds
from tokend_server.clock import Clock
from tokend_server.config import Grpc, Listener
from tokend_server.config.addresses import UNIX
from tokend_server.metrics import Metrics
from tokend_server.rpc.additional_service import AdditionalService, operations_by_path, pool_of
from tokend_server.rpc.connection_guard import ConnectionGuard, is_guarded
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.grpc_internals import CallPool
from tokend_server.rpc.health import HealthService
from tokend_server.rpc.interceptors.audit import auditing
from tokend_server.rpc.interceptors.authentication import identifying_callers
from tokend_server.rpc.interceptors.call_context import limiting_metadata, setting_call_context
from tokend_server.rpc.interceptors.errors import translating_errors
from tokend_server.rpc.interceptors.layers import Layer, LayeredRegistry, OtherMethods, checking
from tokend_server.rpc.interceptors.metrics import (
    counting_skipped,
    counting_unknown_methods,
    observing,
)
from tokend_server.rpc.interceptors.overload import (
    pausing_after_misuse,
    recording_callers,
    refusing_at_once,
    refusing_excess,
    unknown_method,
)
from tokend_server.rpc.interceptors.rate_limits import limiting_rates
from tokend_server.rpc.message_wait import MessageWait
from tokend_server.rpc.policy import Rule, rules
from tokend_server.rpc.ports import Ports, client_certificates
from tokend_server.rpc.probe import PrivateDirectory, ProbeMethod, Prober, Target
from tokend_server.rpc.threads import CallThreads
from tokend_server.rpc.tracing import UNTRACED, Tracing
from tokend_server.rpc.worker_pool import ListenerThreads, WorkerPool

SERVICE_NAME = developer_identity_service_pb2.DESCRIPTOR.services_by_name["DeveloperIdentityService"].full_name

#: Seconds without data from a client before the server sends a keepalive ping, and seconds to wait for its response.
_KEEPALIVE_INTERVAL, _KEEPALIVE_TIMEOUT = 60, 20

#: Seconds within which a client must acknowledge the server's SETTINGS. Until it does, gRPC enforces none of its limits
#: on the client.
_SETTINGS_TIMEOUT = 5

#: The maximum number of seconds that a call may wait before the server reads its headers.
_MAX_UNREQUESTED_SECONDS = 5


class GrpcServer:
    """The gRPC servers of the service, one for each listener.

    gRPC does not report the port of a call, so each listener is a separate server; all share their threads.

    Args:
        config: Addresses and limits.
        service: The developer-identity operations.
        access: Access control.
        guard: Guards the connections of its listeners.
        metrics: The metrics of calls.
        clock: Measures the duration of calls.
        tracing: The traces of calls.
        additional_services: Further services that the listeners serve.

    Raises:
        ConfigError: The server cannot listen on an address, or a TLS file cannot be used.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all its parts
        self,
        config: Grpc,
        service: DeveloperIdentityService,
        access: AccessControl,
        guard: ConnectionGuard,
        metrics: Metrics,
        clock: Clock,
        tracing: Tracing = UNTRACED,
        additional_services: Sequence[AdditionalService] = (),
    ) -> None:
        self._config = config
        self._service = service
        self._access = access
        self._guard = guard
        self._metrics = metrics
        self._clock = clock
        self._tracing = tracing
        self._additional_services = additional_services
        self._servers: list[grpc.Server] = []
        # A server whose thread could not be started would never stop.
        self._started: list[grpc.Server] = []
        self._ports = Ports("grpc", metrics)
        names = [SERVICE_NAME, health.SERVICE_NAME, *([reflection.SERVICE_NAME] if config.reflection else [])]
        self._descriptors = [descriptor_pool.Default().FindServiceByName(name) for name in names]
        self._descriptors += [each.descriptor for each in additional_services]
        self._threads = CallThreads(
            config,
            access.concurrent_calls,
            clock,
            refusing_at_once(counting_refusals(metrics)),
            counting_skipped(self._descriptors, metrics),
        )
        self._probe = ProbeMethod(self._threads.calls.must_refuse)
        self._private = PrivateDirectory()
        with ExitStack() as undo:
            undo.callback(self._private.close)
            undo.callback(self._threads.shutdown)
            self._message_wait = MessageWait(config.message_timeout_seconds, clock)
            undo.callback(self._message_wait.stop)
            self._health = HealthService(
                SERVICE_NAME, max_watches=config.max_connections, threads=self._threads.watches, wait=self._message_wait
            )
            self._targets = [self._open(listener) for listener in config.all_listeners]
            undo.pop_all()
        self.addresses = tuple(target.listen for target in self._targets)

    def start(self) -> None:
        """Starts to serve."""
        for server in self._servers:
            server.start()
            self._started.append(server)

    def prober(self, clock: Clock, *, call_timeout: float, connection_timeout: float, interval: float = 2.0) -> Prober:
        """Returns a prober that makes tokend's own calls to each listener; the arguments are `Prober`'s."""
        return Prober(
            self._targets,
            self._probe.path,
            clock,
            call_timeout=call_timeout,
            connection_timeout=connection_timeout,
            interval=interval,
        )

    def set_serving(self, serving: bool, /) -> None:
        """Sets the status that grpc.health.v1 reports."""
        self._health.set_serving(serving=serving)

    def reload_tls_files(self) -> None:
        """Reloads TLS files that have changed; new connections do so too."""
        self._ports.reload_tls_files()

    def enter_graceful_shutdown(self) -> None:
        """Sets the status that grpc.health.v1 reports to NOT_SERVING permanently."""
        self._health.enter_graceful_shutdown()

    def stop(self, grace: float) -> None:
        """Stops accepting calls; returns when the calls in flight are done, or are cancelled after `grace` seconds."""
        self._health.end_watches()
        for wait in [_start_stopping(server, grace) for server in self._started]:
            wait()
        self._message_wait.stop()
        self._threads.shutdown()
        self._private.close()

    def call_layers(self, listener: Listener, certificates: ClientCertificates | None) -> Sequence[Layer]:
        """Returns the layers around every method of a listener, the outermost first."""
        operations = operations_by_path(self._additional_services)
        by_path = {**rules(self._config), **dict.fromkeys(operations, Rule.GRANT)}
        pause = self._pause_seconds(listener)
        return [
            observing(self._metrics, self._clock),
            self._tracing.layer,
            setting_call_context(
                UniqueIds(os.urandom),
                self._tracing.trace_id,
                self._clock,
                unix_socket=listener.is_unix_socket,
                max_bytes=self._config.max_metadata_bytes,
                operations=operations,
            ),
            translating_errors,
            auditing(self._access.auditor, self._clock, by_path),
            *([pausing_after_misuse(self._threads.of, pause)] if pause else []),
            checking(
                refusing_excess(self._threads.of, counting_refusals(self._metrics)),
                limiting_metadata(self._config.max_metadata_bytes),
                identifying_callers(self._access.authenticators(listener), by_path, certificates),
                *(
                    [recording_callers(self._threads.of, self._guard.learn, anonymous=not listener.identify_by)]
                    if is_guarded(listener)
                    else []
                ),
            ),
            *([limiting_rates(self._access.limits)] if listener.identify_by else []),
        ]

    def _open(self, listener: Listener) -> Target:
        """Makes the server of a listener with its services, and opens its ports."""
        certificates = client_certificates(listener, self._clock)
        server = self._server(listener)
        registry = LayeredRegistry(
            server,
            self.call_layers(listener, certificates),
            self._message_wait,
            self._threads.of,
            partial(self._in_line, listener),
        )
        methods = cast("grpc.Server", registry)  # generated code uses only the two methods that a registry has
        self._service.add_to(methods)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, methods)
        for each in self._additional_services:
            each.add_to(methods)
        if self._config.reflection:
            names = [each.full_name for each in self._descriptors]
            reflection.enable_server_reflection(
                names, methods, pool_of(self._descriptors) if self._additional_services else None
            )
        self._servers.append(server)
        opened = self._ports.open(server, listener, certificates)
        if is_guarded(listener):
            self._guard.add_listener(opened.port, self._config.max_connections)
        private = self._private.socket(str(len(self._servers)))
        if private:
            self._ports.add(server, f"{UNIX}{private}")
        return Target(opened.listen, opened.reachable, listener.tls_files is not None, private)

    def _server(self, listener: Listener) -> grpc.Server:
        unknown = unknown_method(
            counting_unknown_methods(self._metrics),
            self._threads.calls.pause_line,
            self._pause_seconds(listener),
        )
        others = OtherMethods(unknown, {self._probe.path: self._probe.handler})
        threads = self._in_line(listener, self._threads.calls)
        return grpc.server(threads, handlers=[others], options=server_options(self._config))

    def _pause_seconds(self, listener: Listener) -> float:
        """Returns the pause in seconds after a refused call; 0 on connections that carry calls of several callers."""
        return 0.0 if listener.has_shared_connections else self._config.pause_after_refusal_seconds

    def _in_line(self, listener: Listener, threads: WorkerPool) -> CallPool:
        if not is_guarded(listener):
            return threads
        line_of = self._guard.line_of if listener.identify_by else self._guard.line_of_anonymous
        return ListenerThreads(threads, line_of, self._guard.record_abandoned)


def _start_stopping(server: grpc.Server, grace: float) -> Callable[[], object]:
    """Stops a server from accepting calls, and returns a function that waits for its end."""
    try:
        return server.stop(grace).wait
    except RuntimeError:  # it starts a thread to cancel calls after the grace, which may fail

        def stop_here() -> None:
            server.wait_for_termination(grace)
            server.stop(None)

        return stop_here


def counting_refusals(metrics: Metrics) -> Callable[[str], None]:
    """Returns a function that counts a call refused by a concurrency limit, by the path of its method.

    Calls of the contract are counted separately: the service level objective covers only them, and so do alerts.
    """
    of_contract, others = (metrics.calls_refused.labels(limit) for limit in ("server_calls", "other_calls"))
    prefix = f"/{SERVICE_NAME}/"
    return lambda path: (of_contract if path.startswith(prefix) else others).inc()


def server_options(config: Grpc) -> Sequence[tuple[str, int]]:
    """Returns gRPC's options, which limit connections and calls."""
    seconds: Mapping[str, int] = {
        "grpc.server_handshake_timeout_ms": config.handshake_timeout_seconds,
        "grpc.http2.settings_timeout": min(config.handshake_timeout_seconds, _SETTINGS_TIMEOUT),
        "grpc.http2.min_ping_interval_without_data_ms": config.min_ping_interval_seconds,
        "grpc.keepalive_time_ms": _KEEPALIVE_INTERVAL,
        "grpc.keepalive_timeout_ms": _KEEPALIVE_TIMEOUT,
        "grpc.max_connection_idle_ms": config.max_connection_idle_seconds,
        "grpc.max_connection_age_ms": config.max_connection_age_seconds,
        "grpc.max_connection_age_grace_ms": config.max_connection_age_grace_seconds,
    }
    return (
        ("grpc.so_reuseport", 0),  # a second server on the same port is an error, not a way to share its calls
        ("grpc.max_receive_message_length", config.max_receive_message_bytes),
        ("grpc.max_metadata_size", config.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", 2 * config.max_metadata_bytes),
        # Without this option, gRPC allows a client without calls one ping in two hours, whatever the interval.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_concurrent_streams", config.concurrent_streams),
        # gRPC counts a call until its memory is freed, which is after the client sees its end. Without room for such
        # calls, most calls of a client that keeps all its streams busy would be refused.
        ("grpc.http2.max_deallocating_streams", config.concurrent_streams),
        ("grpc.max_allowed_incoming_connections", config.max_connections),
        ("grpc.server_max_unrequested_time_in_server", _MAX_UNREQUESTED_SECONDS),
        *((name, 1000 * value) for name, value in seconds.items()),
    )
