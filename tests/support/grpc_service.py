"""The gRPC service in this process, on a free port, with a scripted engine."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample
from tests.fakes.scripted_engine import ScriptedEngine

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server.access.audit.log import AuditLog
from tokend_server.access.build import build_access_control
from tokend_server.clock import Clock, SystemClock
from tokend_server.config import Config, Grpc, Pool
from tokend_server.mesh.build import Mesh
from tokend_server.metrics import Metrics
from tokend_server.rpc.connection_guard import ConnectionGuard
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.server import SERVICE_NAME, GrpcServer

POOL_ID = "us-east-1:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"

#: The longest and the shortest valid id of a pool.
LONGEST_POOL_ID = f"A_b-9{'r' * 13}:{'0123456789abcdef-' * 2}ab"
SHORTEST_POOL_ID = "r:0"

POOL_IDS = (POOL_ID, LONGEST_POOL_ID, SHORTEST_POOL_ID)

#: How long a test waits for an expected event.
TIMEOUT = 30

#: A valid request message of each method.
VALID: Mapping[str, Message] = MappingProxyType(
    {
        "GetOpenIdTokenForDeveloperIdentity": pb.GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=POOL_ID, logins={"login.example.test": "alice"}
        ),
        "LookupDeveloperIdentity": pb.LookupDeveloperIdentityRequest(
            identity_pool_id=POOL_ID, developer_user_identifier="alice"
        ),
        "MergeDeveloperIdentities": pb.MergeDeveloperIdentitiesRequest(
            identity_pool_id=POOL_ID,
            developer_provider_name="login.example.test",
            source_user_identifier="alice",
            destination_user_identifier="bob",
        ),
        "UnlinkDeveloperIdentity": pb.UnlinkDeveloperIdentityRequest(
            identity_pool_id=POOL_ID,
            identity_id=POOL_ID,
            developer_provider_name="login.example.test",
            developer_user_identifier="alice",
        ),
    }
)

METHODS = tuple(VALID)


#: Other tests cover pauses: with a stopped clock, a pause would never end.
_SETTINGS: Mapping[str, object] = MappingProxyType(
    {"listen": ["127.0.0.1:0"], "threads": 4, "pause_after_refusal_seconds": 0}
)


@dataclass(frozen=True)
class GrpcService:
    """A running service and a channel to it.

    Attributes:
        address: Its first address.
        server: The server.
        engine: The engine of every pool in `POOL_IDS`.
        registry: The metrics.
        channel: A channel to `address`.
        stub: The service's methods on that channel.
        audit_log: The audit log; None for none.
    """

    address: str
    server: GrpcServer
    engine: ScriptedEngine
    registry: CollectorRegistry
    channel: grpc.Channel
    stub: DeveloperIdentityServiceStub
    audit_log: AuditLog | None

    def await_audit_lines(self) -> None:
        """Waits until the lines of all finished calls are written: a call itself waits only for required lines."""
        if self.audit_log:
            self.audit_log.reopen()  # it comes after them

    def call(
        self,
        method: str,
        request: Message | None = None,
        *,
        metadata: Sequence[tuple[str, str]] = (),
        timeout: float | None = TIMEOUT,
    ) -> Message:
        """Calls a method of DeveloperIdentityService by its name, by default with its valid request."""
        send: Callable[..., Message] = getattr(self.stub, method)
        return send(VALID[method] if request is None else request, metadata=metadata, timeout=timeout)

    def begun(self) -> float:
        """Returns how many calls have reached it."""
        return sum(each.value for each in self._samples("grpc_server_started_total"))

    def outcomes(self) -> Counter[str]:
        """Returns how many calls have finished, by their codes."""
        found: Counter[str] = Counter()
        for each in self._samples("grpc_server_handled_total"):
            found[each.labels["grpc_code"]] += int(each.value)
        return +found

    def until_over(self, calls: int) -> Counter[str]:
        """Waits until this many calls have finished in the server, and returns their outcomes.

        Clients may see the end earlier.
        """
        while (seen := self.outcomes()).total() < calls:
            threading.Event().wait(0.01)
        return seen

    def _samples(self, name: str) -> Sequence[Sample]:
        return [each for metric in self.registry.collect() for each in metric.samples if each.name == name]

    def begin(self, method: str, *, timeout: float | None = TIMEOUT) -> "grpc.Future[Message]":
        """Starts a call of a method of DeveloperIdentityService with its valid request."""
        send: Callable[..., grpc.Future[Message]] = getattr(self.stub, method).future
        return send(VALID[method], timeout=timeout)

    def send_bytes(self, method: str, serialized: bytes) -> bytes:
        """Calls a method of DeveloperIdentityService with the bytes of a request, and returns those of the response."""
        return self.send_to(f"/{SERVICE_NAME}/{method}", serialized)

    def send_to(self, path: str, serialized: bytes = b"") -> bytes:
        """Calls the unary method of a path, which need not exist."""
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(path, None, None)
        return call(serialized, timeout=TIMEOUT)


@contextmanager
def grpc_service(
    clock: Clock | None = None, sections: Mapping[str, object] | None = None, /, **settings: object
) -> Iterator[GrpcService]:
    """Serves until the block ends; `settings` are those of [grpc], `sections` the other tables."""
    engine, metrics, clock = ScriptedEngine(), Metrics(CollectorRegistry()), clock or SystemClock()
    config = Grpc.model_validate({**_SETTINGS, **settings})
    pools = dict.fromkeys(POOL_IDS, Pool(developer_provider_name="login.example.test"))
    whole = Config.model_validate({"grpc": config, "pools": pools, **(sections or {})})
    access = build_access_control(whole, metrics, clock)
    mesh = Mesh(whole, lambda _pool, _key_id: True, metrics, clock)
    service = DeveloperIdentityService(dict.fromkeys(POOL_IDS, engine), access.policy, clock, mesh.forget)
    guard = ConnectionGuard(config.max_metadata_bytes, metrics.connections_ended.inc, clock)
    server = GrpcServer(config, service, access, guard, metrics, clock, additional_services=mesh.services(service))
    guard.start()
    server.start()
    try:
        with insecure_channel(server.addresses[0]) as channel:
            stub = DeveloperIdentityServiceStub(channel)
            yield GrpcService(server.addresses[0], server, engine, metrics.registry, channel, stub, access.audit_log)
    finally:
        server.stop(0)
        guard.stop()
        access.close_audit_log()


def insecure_channel(address: str) -> grpc.Channel:
    """Returns a channel with a separate connection."""
    return grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)])


@dataclass(frozen=True)
class Failure:
    """The failure of a call, as seen by its client.

    Attributes:
        code: The status code.
        text: The status message.
        details: The google.rpc details, in order.
        trailers: All trailers.
    """

    code: grpc.StatusCode
    text: str
    details: tuple[Message, ...]
    trailers: Mapping[str, str | bytes]

    @property
    def reason(self) -> str | None:
        """The reason of the ErrorInfo, if there is one."""
        reasons = [detail.reason for detail in self.details if isinstance(detail, ErrorInfo)]
        return reasons[0] if reasons else None

    @property
    def violations(self) -> list[tuple[str, str]]:
        """The fields of the BadRequest with their problems."""
        bad_requests = [detail for detail in self.details if isinstance(detail, BadRequest)]
        return [(each.field, each.description) for bad in bad_requests for each in bad.field_violations]


def failure(call: Callable[[], object], *kinds: type[Message]) -> Failure:
    """Makes a call that must fail. `kinds` are the allowed details besides ErrorInfo and BadRequest."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error = caught.value
    code, text = error.code(), error.details() or ""
    trailers = {str(item.key): item.value for item in error.trailing_metadata() or ()}
    status = Status.FromString(trailers.get("grpc-status-details-bin", b""))
    if status.code:
        assert (status.code, status.message) == (code.value[0], text)
    return Failure(
        code, text, tuple(_unpack(detail, (ErrorInfo, BadRequest, *kinds)) for detail in status.details), trailers
    )


def _unpack(packed: Any, kinds: tuple[type[Message], ...]) -> Message:
    for kind in kinds:
        message = kind()
        if packed.Unpack(message):
            return message
    raise AssertionError(f"an unexpected detail: {packed.type_url}")
