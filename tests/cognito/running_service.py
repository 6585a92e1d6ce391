"""A service in this process with a Cognito pool on a test upstream, with shortcuts for tests."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import httpx
import jwt
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, ResourceInfo, RetryInfo
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from tests.support.grpc_service import Failure, failure, insecure_channel
from tests.support.metric_samples import samples

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server import app
from tokend_server.clock import Clock, SystemClock
from tokend_server.config import Cognito, Config, Grpc, Issuer, Ops, Pool, Store
from tokend_server.config.access import Audit

PROVIDER = "login.example.test"
COGNITO_POOL = "us-east-1:0a1b2c3d-0000-4000-8000-00000000000c"
LOCAL_POOL = "us-east-1:0a1b2c3d-0000-4000-8000-00000000000b"
IDENTITY = "us-east-1:0a1b2c3d-0000-4000-8000-0000000000aa"

#: How long a test waits for an expected event.
TIMEOUT = 30

GET = "GetOpenIdTokenForDeveloperIdentity"
LOOKUP = "LookupDeveloperIdentity"
MERGE = "MergeDeveloperIdentities"
UNLINK = "UnlinkDeveloperIdentity"

#: A valid request of each method for the Cognito pool.
REQUESTS: Mapping[str, Message] = {
    GET: pb.GetOpenIdTokenForDeveloperIdentityRequest(identity_pool_id=COGNITO_POOL, logins={PROVIDER: "alice"}),
    LOOKUP: pb.LookupDeveloperIdentityRequest(identity_pool_id=COGNITO_POOL, developer_user_identifier="alice"),
    MERGE: pb.MergeDeveloperIdentitiesRequest(
        identity_pool_id=COGNITO_POOL,
        developer_provider_name=PROVIDER,
        source_user_identifier="alice",
        destination_user_identifier="bob",
    ),
    UNLINK: pb.UnlinkDeveloperIdentityRequest(
        identity_pool_id=COGNITO_POOL,
        identity_id=IDENTITY,
        developer_provider_name=PROVIDER,
        developer_user_identifier="alice",
    ),
}

METHODS = tuple(REQUESTS)

_DETAILS = (BadRequest, ErrorInfo, QuotaFailure, ResourceInfo, RetryInfo)


def token_request(user: str = "alice", pool_id: str = COGNITO_POOL, **members: Any) -> Message:  # noqa: ANN401
    return pb.GetOpenIdTokenForDeveloperIdentityRequest(identity_pool_id=pool_id, logins={PROVIDER: user}, **members)


class ShiftedClock:
    """The machine's clocks, ahead by an offset set by the test."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        return SystemClock.now() + self._ahead

    def monotonic(self) -> float:
        return SystemClock.monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


class RunningService:
    """A running service and a channel to it.

    Attributes:
        service: The service.
    """

    def __init__(self, config: Config, clock: Clock | None, undo: ExitStack) -> None:
        self.service = app.start(config, clock)
        undo.callback(self.service.stop)
        self._stub = DeveloperIdentityServiceStub(undo.enter_context(insecure_channel(self.service.grpc_addresses[0])))
        self._http = undo.enter_context(
            # It loads no authorities, which would take longer than everything else.
            httpx.Client(trust_env=False, verify=False, base_url=f"http://{self.service.ops_address}")
        )

    def call(self, method: str = GET, request: Message | None = None, timeout: float | None = TIMEOUT) -> Any:  # noqa: ANN401
        """Calls a method, by default with its request of `REQUESTS`."""
        return self._method(method)(request or REQUESTS[method], timeout=timeout)

    def begin(
        self, method: str = GET, request: Message | None = None, timeout: float | None = TIMEOUT
    ) -> "grpc.Future[Any]":
        """Starts a call of a method."""
        multicallable: Any = self._method(method)
        begun: grpc.Future[Any] = multicallable.future(request or REQUESTS[method], timeout=timeout)
        return begun

    def get_token(self, user: str = "alice", pool_id: str = COGNITO_POOL, **members: Any) -> Any:  # noqa: ANN401
        """Gets a token of a user."""
        return self.call(GET, token_request(user, pool_id, **members))

    def refused(self, method: str = GET, request: Message | None = None, timeout: float | None = TIMEOUT) -> Failure:
        """Makes a call that must fail."""
        return failure(lambda: self.call(method, request, timeout), *_DETAILS)

    def metric(self, sample: str, **labels: str) -> float:
        """Returns a sample of /metrics, summed over the labels that are not given; zero if there is none."""
        return math.fsum(value for found, value in self.metric_children(sample) if labels.items() <= found.items())

    def metric_children(self, sample: str) -> Sequence[tuple[Mapping[str, str], float]]:
        """The labels and the values of a sample of /metrics."""
        return [(each.labels, each.value) for each in samples(self.metrics_text(), sample)]

    def samples(self) -> Sequence[Sample]:
        """All of /metrics."""
        families = text_string_to_metric_families(self.metrics_text())
        return [each for family in families for each in family.samples]

    def metrics_text(self) -> str:
        return self._http.get("/metrics", timeout=TIMEOUT).text

    def readyz(self) -> tuple[int, str]:
        answer = self._http.get("/readyz", timeout=TIMEOUT)
        return answer.status_code, answer.text

    def _method(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._stub, name)
        return method


class Services:
    """Creates services, and stops them when the context manager exits."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def start(
        self,
        url: str,
        clock: Clock | None = None,
        *,
        threads: int = 4,
        beside_local: bool = False,
        audit: Audit | None = None,
        **cognito: Any,  # noqa: ANN401
    ) -> RunningService:
        """Starts a service with an upstream, with or without a local pool; `cognito` are its settings."""
        pools = {COGNITO_POOL: Pool(engine="cognito", developer_provider_name=PROVIDER)}
        if beside_local:
            pools[LOCAL_POOL] = Pool(developer_provider_name=PROVIDER, signing_algorithm="ES256")
        config = Config(
            data_dir=self._directory,
            grpc=Grpc(listen=["127.0.0.1:0"], threads=threads, drain_grace_seconds=0),
            issuer=Issuer(listen="127.0.0.1:0"),
            ops=Ops(listen="127.0.0.1:0"),
            store=Store(),
            audit=audit or Audit(),
            cognito=Cognito.model_validate({"endpoint_url": url, **cognito}),
            pools=pools,
        )
        return RunningService(config, clock, self._undo)


def code_of(call: "grpc.Future[Any]") -> grpc.StatusCode:
    """Returns the status of a call that must fail."""
    error = call.exception()
    assert isinstance(error, grpc.RpcError)
    return error.code()


def metadata_of(failed: Failure) -> dict[str, str]:
    """The metadata of a failure's ErrorInfo."""
    (info,) = [detail for detail in failed.details if isinstance(detail, ErrorInfo)]
    return dict(info.metadata)


def retry_delay_of(failed: Failure) -> float | None:
    """The seconds of a failure's RetryInfo, if it has one."""
    delays = [detail.retry_delay for detail in failed.details if isinstance(detail, RetryInfo)]
    return delays[0].ToTimedelta().total_seconds() if delays else None


def same(answer: Message, *others: Message) -> bool:
    """Returns whether responses are equal except for their times."""
    return all(_undated(other) == _undated(answer) for other in others)


def _undated(answer: Message) -> Message:
    undated = type(answer)()
    undated.CopyFrom(answer)
    if "issue_time" in answer.DESCRIPTOR.fields_by_name:
        undated.ClearField("issue_time")
    return undated


def claims_of(token: str) -> dict[str, Any]:
    """Returns the claims of a token, unverified: tokens of the test upstream have no signature."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims
