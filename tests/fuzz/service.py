"""The service as `tokend serve` builds it, without a network: calls come from here, and issuers' keys from memory."""

import contextvars
import datetime as dt
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, Self
from unittest.mock import patch

import grpc
from prometheus_client import CollectorRegistry
from tests.fakes.clock import FakeClock
from tests.fuzz.aws_service import AwsService
from tests.fuzz.tokens import APPLICATION, AUDIENCE, CLUSTER, NOW, SUBJECT, Documents
from tests.support.authority import DNS_NAME, URI, Authority

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.access.audit.queued_log import QueuedAuditLog
from tokend_server.access.build import build_access_control
from tokend_server.callers.keys import digest
from tokend_server.config import Aws, Config
from tokend_server.engine import Engine
from tokend_server.engines.build import build_engines
from tokend_server.metrics import Metrics
from tokend_server.model import Secret
from tokend_server.rpc.call import CURRENT_CALL, Call
from tokend_server.rpc.connection_guard import ConnectionGuard
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.server import SERVICE_NAME, GrpcServer

GET = "GetOpenIdTokenForDeveloperIdentity"
LOOKUP = "LookupDeveloperIdentity"
MERGE = "MergeDeveloperIdentities"
UNLINK = "UnlinkDeveloperIdentity"

SHOP_POOL = "eu-west-1:11111111-2222-3333-4444-555555555555"
OPS_POOL = "eu-west-1:99999999-2222-3333-4444-555555555555"
DEVELOPER = "login.shop.example"

#: Public providers; the second one is a Cognito user pool.
PROVIDERS = ("login.example", "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_shop")

CHECKOUT = "spiffe://acme.example/ns/shop/sa/checkout"
ADMIN = "spiffe://acme.example/ns/ops/sa/admin"
PROXY = "spiffe://acme.example/ns/mesh/sa/envoy"
KEY = f"tokend_{'k3yK3Y-_' * 5}end"

#: Of a caller that may use the shop's pool.
AUTHORIZATION = ("authorization", f"Bearer {KEY}")

#: Part of every value that must not appear in any output.
CANARY = "c4n4ry"

#: The users that the service knows from the start.
USERS = (f"{CANARY}-alice", f"{CANARY}-bob")

#: How long a token of the shop may live, and the tag that it may have.
LONGEST = 3600
ISSUER = "https://tokens.example"
TAG = "department"

#: The listeners: one where clients have certificates, one that only proxies and local callers reach, and one that
#: identifies no caller.
LISTENERS = ("tls", "socket", "open")


#: An audit log without a timeout.
_PATIENT_LOG = partial(QueuedAuditLog, timeout=threading.TIMEOUT_MAX)

#: Issues the certificates of all clients.
_AUTHORITY = Authority("clients.example.test", issued_at=dt.datetime.fromtimestamp(NOW, dt.UTC))


class Rpc(NamedTuple):
    """A call as gRPC delivers it.

    Attributes:
        method: The name of the operation.
        message: The request's bytes.
        listener: Its listener, one of `LISTENERS`.
        metadata: Its metadata.
        uris: The URI SANs of the client's certificate.
        dns_names: Its DNS SANs.
        peer: The client's address.
        seconds_left: The time until its deadline.
    """

    method: str
    message: bytes
    listener: str = "socket"
    metadata: Sequence[tuple[str, str]] = (AUTHORIZATION,)
    uris: Sequence[str] = ()
    dns_names: Sequence[str] = ()
    peer: str = "ipv4:10.0.0.1:50000"
    seconds_left: float = 1e18


class Answer(NamedTuple):
    """The result of a call.

    Attributes:
        code: The status code.
        response: The response's bytes; empty if it failed.
        status: The status of a failure.
        call: The service's record of it at its end.
        audit: The new text in the audit log.
        logged: The new text in the log.
    """

    code: grpc.StatusCode
    response: bytes
    status: grpc.Status | None
    call: Call
    audit: bytes
    logged: str


class Service:
    """The running service.

    Attributes:
        engines: The engine of each pool.
        aws: The same engines before AWS's clients.
        metrics: Its metrics.
        identities: The ids of the identities that `USERS` had at first.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a service has
        self,
        servers: Sequence["_Server"],
        engines: Mapping[str, Engine],
        aws: AwsService,
        metrics: Metrics,
        audit_log: Path,
        log: "_Log",
    ) -> None:
        self._servers = dict(zip(LISTENERS, servers, strict=True))
        self._audit = audit_log.open("rb", buffering=0)
        self._log = log
        self.engines = engines
        self.aws = aws
        self.metrics = metrics
        self.identities = {user: self._identity_of(user) for user in USERS}

    def close(self) -> None:
        self._audit.close()

    def call(self, rpc: Rpc) -> Answer:
        """Makes a call.

        Raises:
            Exception: Its handler raised one.
        """
        context, run = _Context(rpc), contextvars.copy_context()
        response = run.run(self._servers[rpc.listener].answer, rpc, context)
        call = run[CURRENT_CALL]
        assert call is not None
        code = context.code() or grpc.StatusCode.OK
        return Answer(code, response, context.status, call, self._audit.read(), self._log.taken())

    def _identity_of(self, user: str) -> str:
        request = pb.GetOpenIdTokenForDeveloperIdentityRequest(identity_pool_id=SHOP_POOL, logins={DEVELOPER: user})
        response = self.call(Rpc(GET, request.SerializeToString())).response
        return pb.GetOpenIdTokenForDeveloperIdentityResponse.FromString(response).identity_id


@contextmanager
def running(directory: Path) -> Iterator[Service]:
    """Runs the service on a fresh store."""
    # Pools are managed without the listener that a whole configuration has for it.
    config = _config(directory).model_copy(update={"aws": Aws(manage_pools=True)})
    metrics, clock = Metrics(CollectorRegistry()), FakeClock(now=NOW)
    servers: list[_Server] = []
    with ExitStack() as undo:
        log = undo.enter_context(_Log().attached())
        with (
            patch("tokend_server.access.build.IssuerHttp", lambda _ca_file: Documents()),
            # A call fails whose line is late by the wall clock, as on a machine that has other things to do.
            patch("tokend_server.access.build.QueuedAuditLog", _PATIENT_LOG),
        ):
            access = build_access_control(config, metrics, clock)
        assert access.audit_log
        undo.callback(access.audit_log.close)
        with patch("tokend_server.engines.local.build.IssuerHttp", Documents):
            engines = build_engines(config, ISSUER, metrics, clock, access.limits.new_identity)
        undo.callback(engines.close)
        behind = DeveloperIdentityService(engines.by_pool, access.policy, clock)
        with patch("grpc.server", lambda *_arguments, **options: _Server(servers, **options)):
            guard = ConnectionGuard(config.grpc.max_metadata_bytes, metrics.connections_ended.inc, clock)
            grpc_server = GrpcServer(config.grpc, behind, access, guard, metrics, clock)
        undo.callback(grpc_server.stop, 0)
        aws = AwsService(engines, ISSUER, clock)
        service = Service(servers, engines.by_pool, aws, metrics, directory / "audit.jsonl", log)
        undo.callback(service.close)
        yield service


def _config(directory: Path) -> Config:
    server = _AUTHORITY.server("127.0.0.1")
    files = {"tls.crt": server.certificate, "tls.key": server.private_key, "clients.crt": _AUTHORITY.certificate}
    for name, content in files.items():
        (directory / name).write_bytes(content)
    ways = ["x_forwarded_client_cert", "jwt", "bearer_key"]
    addresses = ["127.0.0.1:0", f"unix:{directory / 'tokend.sock'}", "127.0.0.2:0"]
    tls = {
        "tls_certificate_file": directory / "tls.crt",
        "tls_private_key_file": directory / "tls.key",
        "tls_client_ca_file": directory / "clients.crt",
        "identify_by": [*ways, "mutual_tls"],
        "trusted_proxies": [PROXY],
    }
    cluster = {
        "issuer": CLUSTER,
        "audiences": [AUDIENCE],
        "algorithms": ["ES256", "RS256"],
        "jwks_url": f"{CLUSTER}/jwks",
    }
    shop = {
        "callers": ["spiffe://acme.example/ns/shop/sa/*", "key:checkout", f"jwt:cluster:{SUBJECT}"],
        "pools": [SHOP_POOL],
        "operations": ["*"],
        "max_token_duration_seconds": LONGEST,
        "principal_tag_keys": [TAG],
    }
    pool = {
        "developer_provider_name": DEVELOPER,
        "signing_algorithm": "ES256",
        "open_id_connect_providers": {name: {"client_ids": [APPLICATION]} for name in PROVIDERS},
    }
    return Config.model_validate(
        {
            "grpc": {
                "listen": addresses,
                "listeners": {addresses[0]: tls, addresses[1]: {"identify_by": ways}},
                "threads": 1,
            },
            "callers": {"keys": {"checkout": [digest(Secret(KEY))]}, "jwt": {"cluster": cluster}},
            "policy": {
                "shop": shop,
                "ops": {"callers": [ADMIN], "pools": [OPS_POOL], "operations": ["*"]},
                "readers": {"callers": ["dns:*.reader.example", "anonymous"], "pools": ["*"], "operations": [LOOKUP]},
            },
            # The clock stands still, so buckets are never refilled.
            "limits": {"calls_burst": 1_000_000, "new_identities_burst": 100},
            "audit": {"destination": f"file:{directory / 'audit.jsonl'}", "required": True},
            "store": {"url": f"sqlite:///{directory / 'tokend.db'}"},
            "pools": {SHOP_POOL: pool, OPS_POOL: pool},
        }
    )


@lru_cache(1000)
def _certificate(uris: tuple[str, ...], dns_names: tuple[str, ...]) -> bytes:
    names = [*((URI, uri) for uri in uris), *((DNS_NAME, name) for name in dns_names)]
    return _AUTHORITY.client_of_octets(*((tag, name.encode("latin-1")) for tag, name in names)).certificate


class _Aborted(Exception):
    """Raised by an abort, like that of gRPC's own context."""


class _Context:
    """Replaces the context of a call."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self.status: grpc.Status | None = None

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return self._rpc.metadata

    def peer(self) -> str:
        return self._rpc.peer

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        return {"x509_pem_cert": [_certificate(tuple(self._rpc.uris), tuple(self._rpc.dns_names))]}

    def time_remaining(self) -> float:
        return self._rpc.seconds_left

    def code(self) -> grpc.StatusCode | None:
        return self.status.code if self.status else None

    def abort_with_status(self, status: grpc.Status) -> None:
        self.status = status
        raise _Aborted


class _Server:
    """Replaces gRPC's server, without listening anywhere."""

    def __init__(
        self,
        servers: list["_Server"],
        handlers: object,  # noqa: ARG002 - of methods that no service has
        options: object,  # noqa: ARG002 - they are about connections
    ) -> None:
        servers.append(self)
        self._handlers: dict[str, Any] = {}

    def answer(self, rpc: Rpc, context: _Context) -> bytes:
        handler = self._handlers[f"/{SERVICE_NAME}/{rpc.method}"]
        try:
            response: bytes = handler.response_serializer(handler.stream_unary(iter([rpc.message]), context))
        except _Aborted:
            return b""
        return response

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        self._handlers |= {f"/{service}/{name}": handler for name, handler in handlers.items()}

    def add_generic_rpc_handlers(self, _handlers: object) -> None:
        """Does nothing: these are the registered handlers once more."""

    def add_insecure_port(self, address: str) -> int:
        if address.startswith("unix:"):
            Path(address.removeprefix("unix:")).touch()
        return 1

    def add_secure_port(self, _address: str, _credentials: object) -> int:
        return 1

    def stop(self, _grace: float) -> threading.Event:
        stopped = threading.Event()
        stopped.set()
        return stopped


class _Log(logging.Handler):
    """Collects the service's log records, with everything that a formatter could show of them."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append(f"{record.getMessage()} {vars(record)}")

    def taken(self) -> str:
        """Returns what was logged since the last call."""
        kept, self._kept = self._kept, []
        return "\n".join(kept)

    @contextmanager
    def attached(self) -> Iterator[Self]:
        """Receives all of the service's records, and keeps them from other handlers."""
        logger = logging.getLogger("tokend_server")
        level, propagate = logger.level, logger.propagate
        logger.addHandler(self)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        try:
            yield self
        finally:
            logger.removeHandler(self)
            logger.setLevel(level)
            logger.propagate = propagate
