"""The composition root: builds the service from its configuration, starts it and stops it."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from time import sleep
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from tokend_server.access.build import AccessControl, build_access_control
from tokend_server.clock import Clock, SystemClock
from tokend_server.config import Config
from tokend_server.engine import CredentialSource
from tokend_server.engines.build import build_engines
from tokend_server.errors import ConfigError
from tokend_server.mesh.build import Mesh
from tokend_server.mesh.sds_build import build_sds
from tokend_server.mesh.sds_server import SdsServer
from tokend_server.metrics import Metrics
from tokend_server.model import pool_region
from tokend_server.oidc.issuers import Issuers
from tokend_server.process.log_writer import LogWriter
from tokend_server.rpc.connection_guard import ConnectionGuard
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.interceptors.audit import recording_intent
from tokend_server.rpc.readiness import ProbeTimeouts, Reachability, Readiness
from tokend_server.rpc.server import GrpcServer
from tokend_server.tracing.start import start as start_tracing
from tokend_server.web.discovery import issuer_pages
from tokend_server.web.listener import BoundAddress, HttpListener
from tokend_server.web.probes import ops_pages
from tokend_server.web.site import Site

if TYPE_CHECKING:
    from tokend_server.aws_json.build import AwsServer

_log = logging.getLogger(__name__)

#: The text of Python's error when the operating system refuses to start another thread.
_CANNOT_START_THREAD = "can't start new thread"


@dataclass(frozen=True, slots=True)
class Service:
    """A running service.

    Attributes:
        grpc_addresses: The addresses of the gRPC listeners, with their actual ports.
        sds_addresses: The addresses of the SDS listeners.
        aws_address: The address of Cognito's own API; empty if it is not served.
        issuer: The `iss` of local tokens; empty if there are no local pools.
        ops_address: The address of metrics and probes.
    """

    grpc_addresses: tuple[str, ...]
    sds_addresses: tuple[str, ...]
    aws_address: str
    issuer: str
    ops_address: str
    _config: Config
    _grpc_server: GrpcServer
    _sds_servers: Sequence[SdsServer]
    _others: Sequence["SdsServer | AwsServer"]
    _access: AccessControl
    _readiness: Readiness
    _undo: ExitStack

    def reload(self) -> None:
        """Reloads TLS files that have changed, and reopens an audit log that was renamed.

        Both also happen without a call: at the next connection, and within a second of the next record.
        """
        self._grpc_server.reload_tls_files()
        for each in self._others:
            each.reload_tls_files()
        self._access.reopen_audit_log()

    def liveness_problems(self) -> list[str]:
        """Returns the problems that /livez reports; empty while the process makes progress, however slowly."""
        return self._readiness.check_liveness().problems

    def stop(self, *, drain_delay: float = 0.0) -> None:
        """Stops gracefully: reports NOT_SERVING, finishes the calls in flight, then closes listeners and engines.

        Args:
            drain_delay: Seconds during which calls are still accepted while health checks report NOT_SERVING, so that
                load balancers stop sending calls before they would be refused.
        """
        self._grpc_server.enter_graceful_shutdown()
        for sds_server in self._sds_servers:
            sds_server.enter_graceful_shutdown()
        self._readiness.stop()
        sleep(drain_delay)
        for sds_server in self._sds_servers:
            sds_server.stop(self._config.grpc.drain_grace_seconds)
        self._grpc_server.stop(self._config.grpc.drain_grace_seconds)
        self._undo.close()


def start(  # noqa: PLR0915 - all parts, in the order in which they are built
    config: Config, clock: Clock | None = None, log: LogWriter | None = None
) -> Service:
    """Builds the service and starts it; it is serving when this function returns.

    Args:
        config: The configuration.
        clock: The clock; the system's by default.
        log: The writer of the log, whose dropped records are counted.

    Raises:
        ConfigError: The configuration cannot be applied, for example because an address is in use.
        EngineUnavailable: An engine's store does not answer.
    """
    clock = clock or SystemClock()
    metrics = _metrics(config, log)
    with thread_limit_as_config_error(), ExitStack() as undo:
        ops_address = undo.enter_context(closing(BoundAddress("ops.listen", config.ops.listen)))
        issuer_address, issuer = None, ""
        if config.pools_of("local"):
            issuer_address = undo.enter_context(closing(BoundAddress("issuer.listen", config.issuer.listen)))
            issuer = config.issuer.url or f"http://{issuer_address.address}"

        tracing = start_tracing(os.environ, aws=bool(config.pools_of("cognito")))
        undo.callback(tracing.stop)
        issuers = Issuers(clock, config.grpc.threads)
        access = build_access_control(config, metrics, clock, issuers)
        undo.callback(access.close_audit_log)
        engines = build_engines(
            config, issuer, metrics, clock, access.limits.new_identity, recording_intent(access.auditor, clock), issuers
        )
        undo.callback(engines.close)
        keys = engines.local_keys
        key_set = keys.key_set if keys else None
        mesh = Mesh(config, engines.is_published, metrics, clock)
        developer_identity = DeveloperIdentityService(engines.by_pool, access.policy, clock, mesh.forget, engines.find)
        additional_services = mesh.services(developer_identity)
        guard = ConnectionGuard(config.grpc.max_metadata_bytes, metrics.connections_ended.inc, clock)
        undo.callback(guard.stop)
        grpc_server = GrpcServer(
            config.grpc, developer_identity, access, guard, metrics, clock, tracing, additional_services
        )
        undo.callback(grpc_server.stop, 0)
        timeouts = ProbeTimeouts(config.ops.unready_after_seconds, config.ops.dead_after_seconds)
        prober = grpc_server.prober(SystemClock(), call_timeout=timeouts.live, connection_timeout=timeouts.ready)
        undo.callback(prober.stop)

        aws_server = None
        if config.aws.listen:
            from tokend_server.aws_json.build import build_aws_server  # noqa: PLC0415 - most services do not use it

            aws_server = build_aws_server(
                config,
                developer_identity,
                engines,
                credential_source(config, clock),
                key_set,
                issuer,
                mesh.forget,
                access,
                metrics,
                clock,
                tracing,
            )
            undo.callback(aws_server.stop)

        sds_servers = build_sds(
            config, developer_identity, access, guard, key_set, engines.is_published, metrics, clock
        )
        for sds_server in sds_servers:
            undo.callback(sds_server.stop, 0)

        others: Sequence[SdsServer | AwsServer] = [*sds_servers, *([aws_server] if aws_server else [])]

        def set_ready(ready: bool) -> None:  # noqa: FBT001 - as Readiness calls it
            grpc_server.set_serving(ready)
            for server in sds_servers:
                server.set_serving(ready)
            metrics.ready.set(ready)

        def reachability() -> Sequence[Reachability]:
            return [*prober.reachability(), *(reach for each in others for reach in each.reachability())]

        readiness = Readiness(engines.backends, set_ready, reachability, timeouts=timeouts)
        undo.callback(readiness.stop)

        _serve_http(ops_address, Site(ops_pages(metrics.registry, readiness.check, readiness.check_liveness)), undo)
        if issuer_address and keys:
            published = Site(issuer_pages(issuer, keys.algorithms, keys.key_set, keys.note_fetch), public=True)
            _serve_http(issuer_address, published, undo)
        engines.start()
        guard.start()
        grpc_server.start()
        for each in others:
            each.start()
        prober.start()
        readiness.start()
        service = Service(
            grpc_server.addresses,
            tuple(address for server in sds_servers for address in server.addresses),
            aws_server.address if aws_server else "",
            issuer,
            ops_address.address,
            config,
            grpc_server,
            sds_servers,
            others,
            access,
            readiness,
            undo.pop_all(),
        )
    _log.info(
        "serving",
        extra={
            "grpc": service.grpc_addresses,
            "sds": service.sds_addresses,
            "aws": service.aws_address,
            "issuer": issuer,
            "ops": service.ops_address,
        },
    )
    return service


def _metrics(config: Config, log: LogWriter | None) -> Metrics:
    """Returns the metrics of the service and of its process."""
    metrics = Metrics(CollectorRegistry(), labelled_pools=config.ops.labelled_pools)
    ProcessCollector(registry=metrics.registry)
    PlatformCollector(registry=metrics.registry)
    if log:
        log.set_drop_counter(metrics.log_records_dropped.inc)
    return metrics


@contextmanager
def thread_limit_as_config_error() -> Iterator[None]:
    """Returns a context manager for code that starts threads.

    Raises:
        ConfigError: The operating system refuses to start another thread.
    """
    try:
        yield
    except RuntimeError as error:
        if str(error) != _CANNOT_START_THREAD:
            raise
        problem = (
            "grpc.threads: the operating system does not let the process start all of its threads; "
            "raise the limit (pids.max of the cgroup, ulimit -u, ulimit -v for their stacks), or lower grpc.threads"
        )
        raise ConfigError([problem]) from error


def credential_source(config: Config, clock: Clock) -> CredentialSource | None:
    """Returns the source of AWS credentials for users' own devices; None if none is configured.

    Raises:
        ConfigError: AWS STS cannot be called with the settings and the environment.
    """
    settings = config.aws.credentials
    if settings.source == "static":
        from tokend_server.aws_json.static_credentials import StaticCredentials  # noqa: PLC0415 - for tests alone

        return StaticCredentials(clock)
    if settings.source == "sts":
        from tokend_server.aws.web_identity import StsCredentials  # noqa: PLC0415 - loads boto3

        source = StsCredentials(settings, settings.region, connections=config.aws.threads, clock=clock)
        try:
            source.open({pool_region(identity_pool_id) for identity_pool_id in config.pools_of("local")})
        except ValueError as error:
            raise ConfigError([f"aws.credentials: {error}"]) from error
        return source
    return None


def _serve_http(address: BoundAddress, site: Site, undo: ExitStack) -> None:
    listener = HttpListener(address, site)
    listener.start()
    undo.callback(listener.stop)
