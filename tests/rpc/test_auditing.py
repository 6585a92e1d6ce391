"""The audit log of calls: one line for each decision, and no secret in any."""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import QuotaFailure, RequestInfo, ResourceInfo, RetryInfo
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from prometheus_client import CollectorRegistry
from tests.fakes.clock import FakeClock
from tests.fakes.scripted_engine import IDENTITY_ID, ISSUED
from tests.support import raw_http2
from tests.support.grpc_service import METHODS, PATIENCE, POOL_ID, VALID, GrpcService, failure, grpc_service
from tests.support.health import check_health, watch_health
from tests.support.silent_calls import SilentCalls

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server import errors
from tokend_server.access.audit.auditor import Auditor
from tokend_server.callers import keys
from tokend_server.model import Secret
from tokend_server.rpc.call import CURRENT_CALL, Call
from tokend_server.rpc.interceptors.audit import auditing
from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.policy import Rule
from tokend_server.rpc.server import SERVICE_NAME

if TYPE_CHECKING:
    from google.protobuf.message import Message

CANARY = "canary-5e1c4b"
GET, LOOKUP, MERGE, UNLINK = METHODS
HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"

CHECKOUT, READER = (keys.new_key(seed.__mul__) for seed in (b"a", b"b"))

#: `checkout` may do everything to one pool, `reader` may only look.
SECTIONS: Mapping[str, object] = {
    "callers": {"keys": {"checkout": [keys.digest(CHECKOUT)], "reader": [keys.digest(READER)]}},
    "policy": {
        "shop": {
            "callers": ["key:checkout"],
            "pools": [POOL_ID],
            "operations": ["*"],
            "max_token_duration_seconds": 600,
            "principal_tag_keys": ["department"],
        },
        "readers": {"callers": ["key:*"], "pools": ["*"], "operations": [LOOKUP]},
    },
}

KINDS = (QuotaFailure, RequestInfo, ResourceInfo, RetryInfo)


def bearing(key: Secret) -> tuple[str, str]:
    return ("authorization", f"Bearer {key.reveal()}")


class Audited:
    """A service whose calls are recorded in a file.

    Attributes:
        service: The service.
    """

    def __init__(self, service: GrpcService, path: Path) -> None:
        self.service = service
        self._path = path

    @property
    def text(self) -> str:
        self.service.await_audit_lines()
        return self._path.read_text(encoding="ascii")

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def event(self) -> dict[str, Any]:
        """The only line."""
        (event,) = self.events
        return event

    def call(self, method: str, request: "Message | None" = None, key: Secret = CHECKOUT, **metadata: str) -> "Message":
        given = {name.replace("_", "-"): value for name, value in metadata.items()}
        return self.service.call(method, request, metadata=[bearing(key), *given.items()])


@contextmanager
def audited_service(
    directory: Path, sections: Mapping[str, object] | None = None, **settings: object
) -> Iterator[Audited]:
    path = directory / "audit.log"
    tables = {**SECTIONS, "audit": {"destination": f"file:{path}"}, **(sections or {})}
    # A clock that stands still would end no pause.
    defaults = {"identify_by": ["bearer_key"], "pause_after_refusal_seconds": 0}
    with grpc_service(FakeClock(), tables, **{**defaults, **settings}) as service:
        yield Audited(service, path)


@pytest.fixture
def audited(tmp_path: Path) -> Iterator[Audited]:
    with audited_service(tmp_path) as running:
        yield running


def token(**header: str) -> Secret:
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return Secret(f"{encoded}.{CANARY}.{CANARY}")


def test_an_issued_token_is_reported_with_all_that_was_asked_and_answered(audited: Audited) -> None:
    audited.service.engine.answers["get"] = ISSUED._replace(token=token(alg="RS512"), key_id="us-east-1-3")
    request = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID,
        identity_id=IDENTITY_ID,
        logins={"login.example.test": CANARY, "accounts.google.com": CANARY},
        principal_tags={"department": CANARY},
        token_duration=Duration(seconds=600),
    )
    audited.call(GET, request, x_request_id="r-1", traceparent=f"00-{'4b' * 16}-{'0f' * 8}-01")
    event = audited.event()
    assert event["eventTime"] == "2027-01-15T08:00:00.000Z"
    assert event["eventName"] == GET
    assert event["userIdentity"] == {"type": "bearer_key", "principalId": "key:checkout"}
    assert event["sourceIPAddress"] == "127.0.0.1"
    assert event["userAgent"].startswith("grpc-python/")
    assert event["requestID"] == "r-1"
    assert event["requestParameters"] == {
        "identityPoolId": POOL_ID,
        "identityId": IDENTITY_ID,
        "logins": {"login.example.test": HIDDEN, "accounts.google.com": HIDDEN},
        "tokenDuration": 600,
        "principalTags": {"department": HIDDEN},
    }
    assert event["responseElements"] == {"identityId": IDENTITY_ID}
    assert event["additionalEventData"] == {
        "outcome": "retrieved",
        "keyId": "us-east-1-3",
        "expireTime": "2027-01-15T08:15:00Z",
        "policy": "shop",
        "traceId": "4b" * 16,
    }
    assert "errorCode" not in event
    assert CANARY not in audited.text


def test_names_are_reported_in_their_order(audited: Audited) -> None:
    logins, tags = ([f"{kind}-{number:02}" for number in range(count)] for kind, count in (("login", 10), ("tag", 50)))
    request = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID,
        logins=dict.fromkeys(reversed(logins), CANARY),
        principal_tags=dict.fromkeys(reversed(tags), CANARY),
    )
    assert failure(lambda: audited.call(GET, request)).reason == "CALLER_NOT_ALLOWED"
    parameters = audited.event()["requestParameters"]
    assert list(parameters["logins"]) == logins
    assert list(parameters["principalTags"]) == tags


@pytest.mark.parametrize(
    ("method", "parameters", "identity_id"),
    [
        (LOOKUP, {}, IDENTITY_ID),
        (MERGE, {"developerProviderName": "login.example.test"}, IDENTITY_ID),
        (UNLINK, {"developerProviderName": "login.example.test", "identityId": POOL_ID}, None),
    ],
)
def test_the_other_operations_are_reported_too(
    method: str, parameters: Mapping[str, str], identity_id: str | None, audited: Audited
) -> None:
    audited.call(method)
    event = audited.event()
    assert event["eventName"] == method
    assert event["requestParameters"] == {"identityPoolId": POOL_ID, **parameters}
    assert event["responseElements"] == ({"identityId": identity_id} if identity_id else None)
    assert event["additionalEventData"] == {"policy": "shop"}
    assert event["readOnly"] == (method == LOOKUP)
    assert "errorCode" not in event
    assert "alice" not in audited.text


def test_what_is_not_known_of_a_token_is_left_out(audited: Audited) -> None:
    audited.service.engine.answers["get"] = ISSUED._replace(key_id=None, outcome=None)
    audited.call(GET)
    assert audited.event()["additionalEventData"].keys() == {"expireTime", "policy"}


def test_without_callers_everybody_is_anonymous(tmp_path: Path) -> None:
    with audited_service(tmp_path, {"policy": {}, "callers": {}}, identify_by=[]) as audited:
        audited.service.call(LOOKUP)
        event = audited.event()
        assert event["userIdentity"] == {"type": "Unknown", "principalId": "anonymous"}
        assert event["additionalEventData"] == {}


def test_a_call_by_a_unix_socket_has_no_address(tmp_path: Path) -> None:
    with audited_service(tmp_path, listen=[f"unix:{tmp_path}/s"]) as audited:
        audited.call(LOOKUP)
        assert audited.event()["sourceIPAddress"] == "unix"


def told(audited: Audited) -> tuple[str, str, str]:
    """The reason, the code and the caller of the only line, which has no answer in it."""
    event = audited.event()
    assert event["responseElements"] is None
    assert event["errorMessage"]
    return event["errorCode"], event["additionalEventData"]["grpcCode"], event["userIdentity"].get("principalId", "")


@pytest.mark.parametrize("method", [GET, MERGE, UNLINK])
def test_what_the_policy_refuses_is_reported(method: str, audited: Audited) -> None:
    assert failure(lambda: audited.call(method, key=READER)).code is grpc.StatusCode.PERMISSION_DENIED
    assert told(audited) == ("CALLER_NOT_ALLOWED", "PERMISSION_DENIED", "key:reader")
    event = audited.event()
    assert event["requestParameters"]["identityPoolId"] == POOL_ID
    assert "policy" not in event["additionalEventData"]
    assert audited.service.engine.asked == []


def test_what_a_row_does_not_allow_is_reported_with_the_row(audited: Audited) -> None:
    request = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, logins={"a": CANARY}, principal_tags={"clearance": CANARY}
    )
    request.token_duration.seconds = 601
    seen = failure(lambda: audited.call(GET, request))
    assert seen.reason == "CALLER_NOT_ALLOWED"
    event = audited.event()
    assert told(audited)[0] == "CALLER_NOT_ALLOWED"
    assert event["additionalEventData"]["policy"] == "shop"
    assert event["requestParameters"]["tokenDuration"] == 601
    assert event["requestParameters"]["principalTags"] == {"clearance": HIDDEN}
    assert event["errorMessage"] == seen.text
    assert CANARY not in audited.text


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "authorization", [[], [("authorization", f"Bearer tokend_{'x' * 43}")], [("authorization", "")]]
)
def test_a_caller_that_is_not_known_gets_an_error_that_says_so(
    method: str, authorization: list[tuple[str, str]], audited: Audited
) -> None:
    seen = failure(lambda: audited.service.call(method, metadata=authorization))
    assert seen.code is grpc.StatusCode.UNAUTHENTICATED
    assert told(audited) == ("CALLER_UNAUTHENTICATED", "UNAUTHENTICATED", "")
    assert audited.event()["userIdentity"] == {"type": "Unknown"}
    assert audited.event()["requestParameters"] == {}  # the message was not read
    assert "x" * 43 not in audited.text


def test_a_caller_that_calls_too_often_gets_an_error_that_says_so(tmp_path: Path) -> None:
    with audited_service(tmp_path, {"limits": {"calls_per_second": 1, "calls_burst": 1}}) as audited:
        audited.call(LOOKUP)
        failure(lambda: audited.call(LOOKUP), *KINDS)
        first, second = audited.events
        assert "errorCode" not in first
        assert (second["errorCode"], second["userIdentity"]["principalId"]) == ("TOO_MANY_REQUESTS", "key:checkout")


def test_a_call_that_is_refused_early_is_reported(tmp_path: Path) -> None:
    limits = {"limits": {"concurrent_calls": 1}}
    with (
        audited_service(tmp_path, limits) as audited,
        ThreadPoolExecutor(1) as other,
        audited.service.engine.holding() as hold,
    ):
        held = other.submit(audited.call, LOOKUP)
        assert hold.entered.wait(PATIENCE)
        assert failure(lambda: audited.call(GET), *KINDS).text == "Too many calls at once."
        assert told(audited) == ("TOO_MANY_REQUESTS", "RESOURCE_EXHAUSTED", "")
        hold.release.set()
        held.result(PATIENCE)
        assert len(audited.events) == 2


@pytest.mark.parametrize("method", METHODS)
def test_a_message_that_is_none_is_reported(method: str, audited: Audited) -> None:
    send: Callable[..., bytes] = audited.service.channel.unary_unary(f"/{SERVICE_NAME}/{method}", None, None)
    for serialized in (b"\xff", CANARY.encode()):
        assert failure(partial(send, serialized, metadata=[bearing(CHECKOUT)], timeout=PATIENCE)).violations
    codes = {(event["errorCode"], event["additionalEventData"]["grpcCode"]) for event in audited.events}
    assert codes == {("VALIDATION_FAILED", "INVALID_ARGUMENT")}
    assert len(audited.events) == 2
    assert CANARY not in audited.text


def test_a_request_beyond_the_limits_is_reported_as_far_as_it_fits(audited: Audited) -> None:
    request = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, identity_id="i" * 100_000, logins={f"{number}" * 5000: CANARY for number in range(99)}
    )
    assert failure(lambda: audited.call(GET, request)).reason == "VALIDATION_FAILED"
    assert told(audited) == ("VALIDATION_FAILED", "INVALID_ARGUMENT", "key:checkout")
    parameters = audited.event()["requestParameters"]
    assert len(parameters["logins"]) <= 50
    assert len(audited.text) < 50_000
    assert CANARY not in audited.text


def test_too_much_metadata_is_reported(tmp_path: Path) -> None:
    with audited_service(tmp_path, max_metadata_bytes=1024) as audited:
        message = VALID[LOOKUP].SerializeToString()
        padding = ("x-pad", CANARY * 100)
        raw_http2.call(audited.service.address, f"/{SERVICE_NAME}/{LOOKUP}", message, [bearing(CHECKOUT), padding])
        assert told(audited) == ("METADATA_TOO_LARGE", "RESOURCE_EXHAUSTED", "")
        assert CANARY not in audited.text


ENGINE_FAILURES = {
    "ENGINE_UNAVAILABLE": errors.EngineUnavailable("The store does not answer."),
    "NOT_AUTHORIZED": errors.NotAuthorized("Logins don't match."),
    "TOO_MANY_REQUESTS": errors.TooManyRequests("Too many new identities of this caller."),
    "DEADLINE_EXCEEDED": errors.DeadlineExceeded(),
    "INTERNAL": KeyError(CANARY),
}


@pytest.mark.parametrize("reason", ENGINE_FAILURES)
@pytest.mark.parametrize("method", METHODS)
def test_what_an_engine_refuses_or_fails_is_reported(method: str, reason: str, audited: Audited) -> None:
    audited.service.engine.failure = ENGINE_FAILURES[reason]
    seen = failure(lambda: audited.call(method), *KINDS)
    assert told(audited) == (reason, seen.code.name, "key:checkout")
    event = audited.event()
    assert event["errorMessage"] == seen.text
    assert event["additionalEventData"]["policy"] == "shop"
    assert CANARY not in audited.text


def test_an_answer_that_is_none_is_reported_as_a_defect(audited: Audited) -> None:
    audited.service.engine.answers["get"] = CANARY
    failure(lambda: audited.call(GET), *KINDS)
    assert told(audited) == ("INTERNAL", "INTERNAL", "key:checkout")
    assert CANARY not in audited.text


def test_health_and_reflection_are_not_decisions(tmp_path: Path) -> None:
    with audited_service(tmp_path, {"policy": {}, "callers": {}}, identify_by=[]) as audited:
        check_health(audited.service.channel)
        next(watch_health(audited.service.channel))
        assert ProtoReflectionDescriptorDatabase(audited.service.channel).get_services()
        with suppress(grpc.RpcError):
            audited.service.send_to("/no.such.Service/Method")
        assert audited.text == ""


def test_a_call_that_is_taken_back_before_its_message_is_no_decision(tmp_path: Path) -> None:
    with audited_service(tmp_path, {"policy": {}, "callers": {}}, identify_by=[]) as audited:
        with SilentCalls(audited.service.address, GET) as calls:
            for stream in calls.begin(20):
                calls.cancel(stream)
            audited.service.call(LOOKUP)
        while cancelled(audited.service.registry) < 20:
            threading.Event().wait(0.01)
        assert audited.event()["eventName"] == LOOKUP


def cancelled(registry: CollectorRegistry) -> float:
    labels = {"grpc_type": "unary", "grpc_service": SERVICE_NAME, "grpc_method": GET, "grpc_code": "Canceled"}
    return registry.get_sample_value("grpc_server_handled_total", labels) or 0.0


#: Where every write fails as on a full disk.
FULL = "file:/dev/full"


@contextmanager
def failing_audit(*, required: bool) -> Iterator[GrpcService]:
    sections = {"audit": {"destination": FULL, "required": required}}
    with grpc_service(FakeClock(), sections) as service:
        service.engine.answers["get"] = ISSUED._replace(token=token())
        yield service


def audit_failures(service: GrpcService) -> float:
    service.await_audit_lines()
    return service.registry.get_sample_value("tokend_audit_failures_total", {"error": "ENOSPC"}) or 0.0


@pytest.mark.parametrize("method", METHODS)
def test_what_must_be_recorded_and_cannot_be_is_not_answered(method: str) -> None:
    with failing_audit(required=True) as service:
        seen = failure(lambda: service.call(method), *KINDS)
        assert (seen.code, seen.reason) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")
        assert seen.text == "The call could not be recorded."
        assert len(service.engine.asked) == 1  # the engine had answered
        assert CANARY not in str(seen)
        assert IDENTITY_ID not in str(seen)
        assert audit_failures(service) == 1


@pytest.mark.parametrize("method", METHODS)
def test_what_need_not_be_recorded_is_answered_and_counted(method: str) -> None:
    with failing_audit(required=False) as service:
        service.call(method)
        assert audit_failures(service) == 1


@pytest.mark.parametrize("required", [True, False])
def test_a_call_that_fails_anyway_fails_for_its_own_reason(*, required: bool) -> None:
    with failing_audit(required=required) as service:
        service.engine.failure = errors.NotAuthorized("Logins don't match.")
        assert failure(lambda: service.call(GET)).reason == "NOT_AUTHORIZED"
        service.engine.failure = KeyError()
        assert failure(lambda: service.call(GET), *KINDS).reason == "INTERNAL"
        assert audit_failures(service) == 2


class HeldLog:
    """An audit log that keeps a line until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.release = threading.Event()
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.begun.set()
        assert self.release.wait(PATIENCE)
        self.lines.append(line)

    def reopen(self) -> None: ...

    def close(self) -> None: ...


def audited_call(log: HeldLog, behave: Callable[..., str], source: str = "") -> str:
    """A call through the layer alone."""
    method = Method(SERVICE_NAME, GET, "unary")
    auditor = Auditor(log, required=False, clock=FakeClock(), event_id=lambda: "1", on_failure=lambda _error: None)
    before = CURRENT_CALL.set(Call(GET, "r-1", source=source))
    try:
        behavior = auditing(auditor, FakeClock(), {method.path: Rule.GRANT})(method, behave)
        return cast("str", behavior(None, None))
    finally:
        CURRENT_CALL.reset(before)


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_answered_before_its_line_is_written(*, fails: bool) -> None:
    log = HeldLog()

    def behave(_request: object, _context: object) -> str:
        if fails:
            raise errors.NotAuthorized("no")
        return "answer"

    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(audited_call, log, behave)
        assert log.begun.wait(PATIENCE)
        assert not answer.done()
        log.release.set()
        if fails:
            assert isinstance(answer.exception(PATIENCE), errors.NotAuthorized)
        else:
            assert answer.result(PATIENCE) == "answer"
    assert len(log.lines) == 1


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("ipv4:10.1.2.3:50000", "10.1.2.3"),
        ("ipv6:%5B2001:db8::1%5D:50000", "2001:db8::1"),
        ("ipv6:[::1]:50000", "::1"),
        ("unix:", "unix"),
        ("unix:/run/tokend.sock", "unix"),
    ],
)
def test_an_address_is_reported_without_its_port(source: str, address: str) -> None:
    log = HeldLog()
    log.release.set()
    audited_call(log, lambda _request, _context: "answer", source)
    assert json.loads(log.lines[0])["sourceIPAddress"] == address


#: Requests whose every secret is the canary; the last ones break limits.
CANARIES: Mapping[str, "Message"] = {
    "get": pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, logins={"login.example.test": CANARY}, principal_tags={"department": CANARY}
    ),
    "lookup": pb.LookupDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, developer_user_identifier=CANARY, next_token=CANARY
    ),
    "merge": pb.MergeDeveloperIdentitiesRequest(
        identity_pool_id=POOL_ID,
        developer_provider_name="login.example.test",
        source_user_identifier=CANARY,
        destination_user_identifier=CANARY,
    ),
    "unlink": pb.UnlinkDeveloperIdentityRequest(
        identity_pool_id=POOL_ID,
        identity_id=POOL_ID,
        developer_provider_name="login.example.test",
        developer_user_identifier=CANARY,
    ),
    "get beyond the limits": pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, logins={"": CANARY * 9999}, principal_tags={"department": CANARY * 99}
    ),
    "lookup beyond the limits": pb.LookupDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, developer_user_identifier=CANARY * 999, next_token=f"{CANARY} {CANARY}"
    ),
}


@pytest.mark.parametrize("request_of", CANARIES)
@pytest.mark.parametrize("fails", [False, True])
def test_no_line_has_a_secret(request_of: str, audited: Audited, *, fails: bool) -> None:
    engine, request = audited.service.engine, CANARIES[request_of]
    engine.answers["get"] = ISSUED._replace(token=token(alg="RS512"))
    engine.failure = KeyError(CANARY) if fails else None
    method = type(request).__name__.removesuffix("Request")
    for key in (CHECKOUT, READER, Secret(CANARY)):
        with suppress(grpc.RpcError):
            audited.call(method, request, key)
    assert len(audited.events) == 3
    for secret in (CANARY, CHECKOUT.reveal(), READER.reveal()):
        assert secret not in audited.text
