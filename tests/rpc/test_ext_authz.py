"""External authorization with Envoy's requests: the response to each, and its audit entry."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RequestInfo, RetryInfo
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.clock import FakeClock
from tests.fakes.scripted_engine import IDENTITY_ID, ISSUED
from tests.support.checks import CHECK, Answer, check_request, read_answer
from tests.support.grpc_service import POOL_ID, TIMEOUT, GrpcService, failure, grpc_service

from tokend_server import errors
from tokend_server.callers import keys
from tokend_server.errors import TokendError
from tokend_server.mesh.authorization import SERVICE_NAME
from tokend_server.mesh.verdict import VERDICTS, Verdict
from tokend_server.model import Secret, TokenRequest

SIDECAR, STRANGER = (keys.new_key(seed.__mul__) for seed in (b"a", b"b"))

TOKEN = f"Bearer {ISSUED.token.reveal()}"
ALICE = {"sub": "alice", "tenant": "acme"}

MAPPINGS: Mapping[str, Any] = {
    "web": {"identity_pool_id": POOL_ID, "user": {"metadata": "payload.sub"}},
    "tagged": {
        "identity_pool_id": POOL_ID,
        "user": {"metadata": "payload.sub"},
        "principal_tags": {"tenant": {"metadata": "payload.tenant"}},
        "token_duration_seconds": 600,
    },
    "headers": {
        "identity_pool_id": POOL_ID,
        "user": {"header": "X-User", "trusted": True},
        "header": "X-Token",
        "scheme": "",
    },
    "open": {"identity_pool_id": POOL_ID, "user": {"metadata": "payload.sub"}, "failure_mode": "open"},
    "too-much": {
        "identity_pool_id": POOL_ID,
        "user": {"metadata": "payload.sub"},
        "token_duration_seconds": 601,
    },
}

SECTIONS: Mapping[str, Any] = {
    "callers": {"keys": {"sidecar": [keys.digest(SIDECAR)], "stranger": [keys.digest(STRANGER)]}},
    "policy": {
        "mesh": {
            "callers": ["key:sidecar"],
            "pools": [POOL_ID],
            "operations": ["*"],
            "max_token_duration_seconds": 600,
            "principal_tag_keys": ["tenant"],
        }
    },
}

DENIED = Answer(403, code=7)
UNAUTHENTICATED = Answer(401, code=16, headers={"www-authenticate": "Bearer"})
UNAVAILABLE = Answer(503, code=14, headers={"retry-after": "1"})


class Sidecar:
    """A client like Envoy, with its key.

    Attributes:
        service: The service.
        audit: Its audit entries.
    """

    def __init__(self, service: GrpcService, path: Path) -> None:
        self.service = service
        self._path = path

    def ask(self, request: Any, key: Secret | None = SIDECAR, timeout: float = TIMEOUT) -> Answer:  # noqa: ANN401 - a message
        return read_answer(self.send(request.SerializeToString(), key, timeout))

    def send(self, request: bytes, key: Secret | None = SIDECAR, timeout: float = TIMEOUT) -> bytes:
        metadata = (("authorization", f"Bearer {key.reveal()}"),) if key else ()
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.service.channel.unary_unary(CHECK, None, None)
        return call(request, metadata=metadata, timeout=timeout)

    @property
    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._path.read_text(encoding="utf-8").splitlines()]

    @property
    def asked(self) -> list[TokenRequest]:
        """Returns the requests that reached the engine."""
        return [each for each in self.service.engine.requests if isinstance(each, TokenRequest)]

    def counted(self, name: str, **labels: str) -> float:
        return self.service.registry.get_sample_value(name, labels) or 0


@contextmanager
def sidecar(
    directory: Path, clock: FakeClock | None = None, *, reuse: int = 100, web: Mapping[str, Any] | None = None
) -> Iterator[Sidecar]:
    path = directory / "audit"
    ext_authz = {"mappings": {**MAPPINGS, "web": {**MAPPINGS["web"], **(web or {})}}, "reuse_max_tokens": reuse}
    sections = {
        **SECTIONS,
        "ext_authz": ext_authz,
        "audit": {"destination": f"file:{path}", "required": True},
    }
    with grpc_service(clock or FakeClock(), sections, identify_by=["bearer_key"]) as service:
        yield Sidecar(service, path)


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[Sidecar]:
    with sidecar(tmp_path) as running:
        yield running


def test_the_header_is_replaced_with_a_token_of_the_user(envoy: Sidecar) -> None:
    assert envoy.ask(check_request(claims=ALICE)) == Answer(None, headers={"authorization": TOKEN})
    (asked,) = envoy.asked
    assert asked.logins == {"login.example.test": Secret("alice")}
    assert (asked.caller, asked.principal_tags) == ("key:sidecar", {})


def test_tags_and_duration_are_those_of_the_mapping(envoy: Sidecar) -> None:
    envoy.ask(check_request("tagged", ALICE))
    (asked,) = envoy.asked
    assert (asked.principal_tags, asked.token_duration.total_seconds()) == ({"tenant": "acme"}, 600)


def test_user_and_token_may_be_in_headers(envoy: Sidecar) -> None:
    answer = envoy.ask(check_request("headers", headers={"x-user": "alice"}))
    assert answer == Answer(None, headers={"x-token": ISSUED.token.reveal()})


@pytest.mark.parametrize(
    ("request_of_envoy", "answer"),
    [
        (check_request(None, ALICE), DENIED),
        (check_request("", ALICE), DENIED),
        (check_request("Web", ALICE), DENIED),
        (check_request("too-much", ALICE), DENIED),
        (check_request("tagged", {"sub": "alice"}), DENIED),
        (check_request("tagged", {"sub": "alice", "tenant": "x" * 257}), DENIED),
        (check_request("web", {"sub": "a" * 50_001}), DENIED),
        (check_request("web"), UNAUTHENTICATED),
        (check_request("web", {"sub": ""}), UNAUTHENTICATED),
        (check_request("web", headers={"x-user": "alice"}), UNAUTHENTICATED),
        (check_request("headers", headers={"x-user": "alice,bob"}), UNAUTHENTICATED),
    ],
)
def test_requests_without_a_mapping_or_verified_claims_are_denied(
    envoy: Sidecar,
    request_of_envoy: Any,  # noqa: ANN401 - a message
    answer: Answer,
) -> None:
    assert envoy.ask(request_of_envoy) == answer
    assert envoy.asked == []
    (line,) = envoy.audit
    assert line["eventName"] == "GetOpenIdTokenForDeveloperIdentity"
    assert line["errorCode"]


def test_an_empty_request_is_denied(envoy: Sidecar) -> None:
    assert read_answer(envoy.send(b"")) == DENIED


def test_a_caller_that_the_policy_does_not_know_is_denied(envoy: Sidecar) -> None:
    assert envoy.ask(check_request(claims=ALICE), STRANGER) == DENIED
    (line,) = envoy.audit
    assert line["errorCode"] == "CALLER_NOT_ALLOWED"
    assert line["userIdentity"] == {"type": "bearer_key", "principalId": "key:stranger"}
    assert line["additionalEventData"] == {"mapping": "web", "grpcCode": "PERMISSION_DENIED"}


def test_a_token_is_not_served_to_other_callers(envoy: Sidecar) -> None:
    envoy.ask(check_request(claims=ALICE))
    assert envoy.ask(check_request(claims=ALICE), STRANGER) == DENIED


def test_a_caller_that_is_not_identified_is_refused_as_in_every_call(envoy: Sidecar) -> None:
    refused = failure(lambda: envoy.ask(check_request(claims=ALICE), None))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CALLER_UNAUTHENTICATED")
    (line,) = envoy.audit
    assert (line["eventName"], line["errorCode"]) == ("GetOpenIdTokenForDeveloperIdentity", "CALLER_UNAUTHENTICATED")


def test_a_mapping_may_be_the_default_of_callers(tmp_path: Path) -> None:
    with sidecar(tmp_path, web={"default_for": ["key:side*"]}) as envoy:
        assert envoy.ask(check_request(None, ALICE)).headers == {"authorization": TOKEN}
        assert envoy.ask(check_request(None, ALICE), STRANGER) == DENIED
        assert envoy.ask(check_request("other", ALICE)) == DENIED


@pytest.mark.parametrize("error", [each for each, verdict in VERDICTS.items() if verdict is Verdict.DENIED])
@pytest.mark.parametrize("mapping", ["web", "open"])
def test_a_refusal_of_the_engine_denies_in_both_failure_modes(
    envoy: Sidecar, error: type[TokendError], mapping: str
) -> None:
    envoy.service.engine.failure = instance(error)
    assert envoy.ask(check_request(mapping, ALICE)) == DENIED


@pytest.mark.parametrize("error", [each for each, verdict in VERDICTS.items() if verdict is Verdict.FAILED])
def test_a_failure_returns_503_or_with_failure_mode_open_allows_without_the_header(
    envoy: Sidecar, error: type[TokendError]
) -> None:
    envoy.service.engine.failure = instance(error)
    closed = envoy.ask(check_request("web", ALICE))
    assert (closed.status, closed.code) == (503, 14)
    assert envoy.ask(check_request("open", ALICE)) == Answer(None, removed=("authorization",))
    assert {line["errorCode"] for line in envoy.audit} == {error.reason or "DEADLINE_EXCEEDED"}


def instance(error: type[TokendError]) -> TokendError:
    made: dict[type[TokendError], TokendError] = {
        errors.ValidationFailed: errors.ValidationFailed([errors.FieldViolation("logins", "x")]),
        errors.ResourceNotFound: errors.ResourceNotFound.identity_pool(POOL_ID),
        errors.LimitExceeded: errors.LimitExceeded("too many", subject=IDENTITY_ID),
        errors.DeadlineExceeded: errors.DeadlineExceeded(),
    }
    return made.get(error) or error("text")


def test_a_failure_has_a_retry_delay(envoy: Sidecar) -> None:
    envoy.service.engine.failure = errors.EngineUnavailable("The store does not answer.", retry_after=2.5)
    assert envoy.ask(check_request(claims=ALICE)).headers == {"retry-after": "3"}


def test_a_defect_is_reported_without_details(envoy: Sidecar) -> None:
    envoy.service.engine.failure = ZeroDivisionError("alice")
    refused = failure(lambda: envoy.ask(check_request("open", ALICE)), RequestInfo)
    assert refused.code is grpc.StatusCode.INTERNAL
    assert "alice" not in refused.text


def test_the_deadline_of_envoy_is_kept(tmp_path: Path) -> None:
    clock = FakeClock()
    with sidecar(tmp_path, clock) as envoy:
        envoy.service.engine.act = lambda: clock.advance(TIMEOUT)
        envoy.ask(check_request(claims=ALICE))
        (asked,) = envoy.service.engine.asked
        assert 0 < asked.remaining <= TIMEOUT * 1.01  # gRPC rounds timeouts up, by at most a hundredth


def test_a_repeated_request_reuses_the_token_and_has_its_own_audit_entry(envoy: Sidecar) -> None:
    first, second, other = (envoy.ask(check_request(claims={"sub": user})) for user in ("alice", "alice", "bob"))
    assert first == second == other
    assert [asked.logins["login.example.test"] for asked in envoy.asked] == [Secret("alice"), Secret("bob")]
    entries = [line["additionalEventData"] for line in envoy.audit]
    assert [each["tokenSource"] for each in entries] == ["issued", "reused", "issued"]
    assert {each["mapping"] for each in entries} == {"web"}
    assert {line["responseElements"]["identityId"] for line in envoy.audit} == {IDENTITY_ID}
    assert "alice" not in json.dumps(envoy.audit)
    sources = {
        source: envoy.counted("tokend_mesh_tokens_total", use="ext_authz", source=source)
        for source in ("issued", "shared", "reused")
    }
    assert sources == {"issued": 2, "shared": 0, "reused": 1}
    assert envoy.counted("tokend_mesh_tokens_kept", use="ext_authz") == 2


def test_a_reused_token_is_in_the_header_of_the_mapping(tmp_path: Path) -> None:
    with sidecar(tmp_path) as envoy:
        for _ in range(2):
            assert envoy.ask(check_request("web", ALICE)).headers == {"authorization": TOKEN}
            asked = check_request("headers", headers={"x-user": "alice"})
            assert envoy.ask(asked).headers == {"x-token": ISSUED.token.reveal()}
        assert len(envoy.asked) == 1


def test_the_audit_entry_of_a_reused_token_is_complete(envoy: Sidecar) -> None:
    for _ in range(2):
        envoy.ask(check_request("tagged", ALICE))
    first, again = envoy.audit
    assert again["additionalEventData"].pop("tokenSource") == "reused"
    assert first["additionalEventData"].pop("tokenSource") == "issued"
    own = ("eventID", "requestID")
    assert all(first.pop(name) != again.pop(name) for name in own)
    assert again == first


def test_without_a_cache_each_request_issues_a_token(tmp_path: Path) -> None:
    with sidecar(tmp_path, reuse=0) as envoy:
        for _ in range(2):
            envoy.ask(check_request(claims=ALICE))
        assert len(envoy.asked) == 2


@pytest.mark.parametrize("operation", ["MergeDeveloperIdentities", "UnlinkDeveloperIdentity"])
@pytest.mark.parametrize("outcome", [None, errors.EngineUnavailable("The store does not answer.")])
def test_a_merge_or_unlink_clears_the_cached_tokens(
    envoy: Sidecar, operation: str, outcome: TokendError | None
) -> None:
    envoy.ask(check_request(claims=ALICE))
    envoy.service.engine.failure = outcome
    metadata = [("authorization", f"Bearer {SIDECAR.reveal()}")]
    if outcome:
        failure(lambda: envoy.service.call(operation, metadata=metadata), RetryInfo)
    else:
        envoy.service.call(operation, metadata=metadata)
    envoy.service.engine.failure = None
    envoy.ask(check_request(claims=ALICE))
    assert len(envoy.asked) == 2


def test_each_request_is_counted_by_its_mapping_and_result(envoy: Sidecar) -> None:
    envoy.ask(check_request(claims=ALICE))
    envoy.ask(check_request())
    envoy.ask(check_request("other", ALICE))
    envoy.service.engine.failure = errors.EngineUnavailable("The store does not answer.")
    envoy.ask(check_request("tagged", ALICE))
    envoy.ask(check_request("open", {"sub": "bob"}))
    results = {
        (sample.labels["mapping"], sample.labels["result"])
        for metric in envoy.service.registry.collect()
        for sample in metric.samples
        if sample.name == "tokend_ext_authz_checks_total" and sample.value == 1
    }
    assert results == {
        ("web", "token"),
        ("web", "unauthenticated"),
        ("", "denied"),
        ("tagged", "failed"),
        ("open", "let_through"),
    }
    labels = {"grpc_type": "unary", "grpc_service": SERVICE_NAME, "grpc_method": "Check", "grpc_code": "OK"}
    assert envoy.counted("grpc_server_handled_total", **labels) == 5


def test_the_limits_of_the_caller_hold(tmp_path: Path) -> None:
    limits = {"calls_per_second": 1, "calls_burst": 1}
    sections = {**SECTIONS, "limits": limits, "ext_authz": {"mappings": {"web": MAPPINGS["web"]}}}
    with grpc_service(FakeClock(), sections, identify_by=["bearer_key"]) as service:
        envoy = Sidecar(service, tmp_path)
        envoy.ask(check_request(claims=ALICE))
        refused = failure(lambda: envoy.ask(check_request(claims=ALICE)), RetryInfo)
    assert refused.reason == "TOO_MANY_REQUESTS"


def test_reflection_knows_the_service() -> None:
    with grpc_service(FakeClock(), {"ext_authz": {"mappings": {"web": MAPPINGS["web"]}}}) as service:
        database = ProtoReflectionDescriptorDatabase(service.channel)
        assert SERVICE_NAME in database.get_services()
        names = ("google.rpc.Status", "tokend.v1.DeveloperIdentityService", SERVICE_NAME)
        files = {name: database.FindFileContainingSymbol(name).name for name in names}
    assert files[SERVICE_NAME] == "envoy/service/auth/v3/external_auth.proto"


def test_without_mappings_the_authorization_service_is_unimplemented() -> None:
    with grpc_service(FakeClock()) as service:
        with pytest.raises(grpc.RpcError) as caught:
            service.send_to(CHECK)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("request_of_envoy", [b"\xff", b"\x0a\x05abc", b"\x0a\x03\x22\x01\xff"])
def test_a_malformed_check_request_is_rejected(envoy: Sidecar, request_of_envoy: bytes) -> None:
    refused = failure(lambda: envoy.send(request_of_envoy))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")


@pytest.fixture(scope="module")
def any_envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    with sidecar(tmp_path_factory.mktemp("any")) as running:
        yield running


_TEXTS = st.text(max_size=8)
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS | st.sampled_from(["sub", "tenant"]), inner),
    max_leaves=8,
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mapping=st.sampled_from([*MAPPINGS, "other"]) | st.none(),
    claims=st.none() | st.dictionaries(st.sampled_from(["sub", "tenant"]), _JSON),
    headers=st.dictionaries(st.sampled_from(["x-user", "authorization"]), _TEXTS),
    raw_headers=st.lists(st.tuples(st.sampled_from(["x-user", "X-User"]), st.binary(max_size=8)), max_size=3),
)
def test_any_check_request_gets_a_response(
    any_envoy: Sidecar,
    mapping: str | None,
    claims: dict[str, Any] | None,
    headers: dict[str, str],
    raw_headers: list[tuple[str, bytes]],
) -> None:
    answer = any_envoy.ask(check_request(mapping, claims, headers, raw_headers))
    assert answer.status in {None, 401, 403}


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=64))
def test_any_bytes_get_a_response_or_invalid_argument(any_envoy: Sidecar, request_of_envoy: bytes) -> None:
    try:
        answer = read_answer(any_envoy.send(request_of_envoy))
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT  # noqa: PT017 - either is right
    else:
        assert answer.status in {401, 403}
