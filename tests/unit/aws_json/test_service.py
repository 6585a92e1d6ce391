"""The order of the checks, invalid requests, and the effects of defects."""

import json
import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.scripted_engine import ScriptedEngine
from tests.support.grpc_service import METHODS, POOL_ID
from tests.unit.aws_json.requests import KEY_ID, SECRET_KEY, Signed, answer, as_sent, call, error_of

from tokend_server import errors
from tokend_server.access.authorization import Policy
from tokend_server.aws_json.calls import CALL_TIMEOUT, Calls
from tokend_server.aws_json.service import AwsJsonService
from tokend_server.aws_json.signers import identifying_signers
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.model import ANONYMOUS, Secret
from tokend_server.rpc.developer_identity import DeveloperIdentityService

OPERATION = "GetOpenIdTokenForDeveloperIdentity"
CANARY = "canary-7f3a9c"
DOCUMENT = {"IdentityPoolId": POOL_ID, "Logins": {"login.example.test": CANARY}}

UNKNOWN = "There is no such operation."
NOT_ROUTED = "Requests are a POST of application/x-amz-json-1.1 to /."

#: The attributes of every log record.
COMMON_ATTRIBUTES = vars(logging.makeLogRecord({})).keys()


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.mark.parametrize(
    "target",
    [
        "",
        OPERATION,
        f".{OPERATION}",
        "AWSCognitoIdentityService.",
        "AWSCognitoIdentityService.GetId",
        f"AWSCognitoIdentityService.{OPERATION.lower()}",
        f"AWSCognitoIdentityService.x.{OPERATION}",
        f"awscognitoidentityservice.{OPERATION}",
        f"AWSCognitoIdentityProviderService.{OPERATION}",
        f"AWSCognitoIdentityService.{OPERATION},AWSCognitoIdentityService.{OPERATION}",
    ],
)
def test_an_unknown_operation_is_rejected(target: str, engine: ScriptedEngine) -> None:
    response = answer({POOL_ID: engine}, call(OPERATION, DOCUMENT).with_header("X-Amz-Target", target))
    assert error_of(response) == (400, "UnknownOperationException", UNKNOWN)


def test_a_request_without_a_target_is_rejected(engine: ScriptedEngine) -> None:
    response = answer({POOL_ID: engine}, call(OPERATION, DOCUMENT).without_header("X-Amz-Target"))
    assert error_of(response) == (400, "UnknownOperationException", UNKNOWN)


@pytest.mark.parametrize(
    "change",
    [
        lambda request: replace(request, method="GET"),
        lambda request: replace(request, method="post"),
        lambda request: replace(request, target="/x"),
        lambda request: replace(request, target="//"),
        lambda request: replace(request, target="//?x=y"),
        lambda request: replace(request, target=""),
        lambda request: request.without_header("Content-Type"),
        lambda request: request.with_header("Content-Type", "application/json"),
        lambda request: request.with_header("Content-Type", "application/x-amz-json-1.0"),
        lambda request: request.with_header("Content-Type", "application/x-amz-json-1.1, text/plain"),
    ],
)
def test_requests_outside_the_protocol_are_not_routed(
    change: Callable[[Signed], Signed], engine: ScriptedEngine
) -> None:
    response = answer({POOL_ID: engine}, change(call(OPERATION, DOCUMENT)))
    assert error_of(response) == (404, "UnknownOperationException", NOT_ROUTED)
    assert engine.asked == []


@pytest.mark.parametrize("media_type", ["application/x-amz-json-1.1; charset=utf-8", "Application/X-AMZ-JSON-1.1 ;a=b"])
def test_a_content_type_may_have_parameters(media_type: str, engine: ScriptedEngine) -> None:
    request = call(OPERATION, DOCUMENT).with_header("Content-Type", media_type)
    status, code, _text = error_of(answer({POOL_ID: engine}, request))
    assert (status, code) == (400, "InvalidSignatureException")  # routed, and not equal to the signed request


BAD_JSON = b'{"IdentityPoolId": 1, '
OVER_LIMIT = {"IdentityPoolId": "no pool", "Logins": {"login.example.test": "alice"}}
NO_POOL = {"IdentityPoolId": "eu-west-1:0", "Logins": {"login.example.test": "alice"}}


def unsigned(request: Signed) -> Signed:
    return request.without_header("Authorization")


def test_the_target_is_checked_before_the_signature(engine: ScriptedEngine) -> None:
    request = unsigned(call("GetId", None, raw=BAD_JSON))
    assert error_of(answer({POOL_ID: engine}, request))[1] == "UnknownOperationException"


@pytest.mark.parametrize("request_body", [{"raw": BAD_JSON}, {"document": OVER_LIMIT}, {"document": NO_POOL}])
def test_the_signature_is_checked_before_the_body(request_body: dict[str, Any], engine: ScriptedEngine) -> None:
    request = unsigned(call(OPERATION, **{"document": None, **request_body}))
    expected = (400, "MissingAuthenticationTokenException", "Missing Authentication Token")
    assert error_of(answer({POOL_ID: engine}, request)) == expected


def test_json_is_checked_before_limits(engine: ScriptedEngine) -> None:
    request = call(OPERATION, {"IdentityPoolId": "no pool", "Logins": 1})
    assert error_of(answer({POOL_ID: engine}, request))[1] == "SerializationException"


def test_limits_are_checked_before_the_pool(engine: ScriptedEngine) -> None:
    assert error_of(answer({POOL_ID: engine}, call(OPERATION, OVER_LIMIT)))[1] == "ValidationException"


def test_a_pool_that_is_not_declared_is_not_found(engine: ScriptedEngine) -> None:
    response = answer({POOL_ID: engine}, call(OPERATION, NO_POOL))
    assert error_of(response) == (400, "ResourceNotFoundException", "IdentityPool 'eu-west-1:0' not found.")
    assert engine.asked == []


def test_a_call_has_the_timeout_of_sdks(engine: ScriptedEngine) -> None:
    answer({POOL_ID: engine}, call(OPERATION, DOCUMENT))
    assert engine.asked[0].remaining == CALL_TIMEOUT == 60


def test_a_request_for_another_region_is_refused_before_all_else(engine: ScriptedEngine) -> None:
    elsewhere = {**DOCUMENT, "IdentityPoolId": "eu-west-1:0"}
    request = call(OPERATION, DOCUMENT, raw=json.dumps(elsewhere).encode())
    text = "Credential should be scoped to a valid region, not 'us-east-1'."
    assert error_of(answer({POOL_ID: engine}, request)) == (400, "InvalidSignatureException", text)
    assert engine.asked == []


def counted(engine: ScriptedEngine, request: Signed) -> list[tuple[str, str]]:
    clock = FakeClock(now=request.signed_at)
    verifier = SignatureVerifier({KEY_ID: Secret(SECRET_KEY)}, clock)
    operations = DeveloperIdentityService({POOL_ID: engine}, Policy((), ()), clock)
    calls: list[tuple[str, str]] = []
    layers = [identifying_signers(verifier, lambda _access_key_id: ANONYMOUS)]
    counting = Calls(
        AwsJsonService(operations, layers),
        clock,
        count=lambda operation, code, _seconds: calls.append((operation, code)),
    )
    counting.answer(as_sent(request))
    return calls


def test_calls_are_counted_by_operation_and_code(engine: ScriptedEngine) -> None:
    request = call(OPERATION, DOCUMENT)
    assert counted(engine, request) == [(OPERATION, "OK")]
    assert counted(engine, call(OPERATION, OVER_LIMIT)) == [(OPERATION, "ValidationException")]
    assert counted(engine, unsigned(request)) == [(OPERATION, "MissingAuthenticationTokenException")]
    assert counted(engine, call("Nothing", DOCUMENT)) == [("unknown", "UnknownOperationException")]
    engine.failure = RuntimeError()
    assert counted(engine, request) == [(OPERATION, "InternalErrorException")]


@pytest.mark.parametrize("failure", [None, errors.NotAuthorized("no"), RuntimeError("no")])
def test_every_response_has_a_unique_request_id(failure: Exception | None, engine: ScriptedEngine) -> None:
    engine.failure = failure
    request = call(OPERATION, DOCUMENT)
    ids = [answer({POOL_ID: engine}, request).headers["x-amzn-requestid"] for _ in range(2)]
    assert len({uuid.UUID(each) for each in ids}) == 2


def test_success_has_no_headers_of_errors(engine: ScriptedEngine) -> None:
    response = answer({POOL_ID: engine}, call(OPERATION, DOCUMENT))
    assert set(response.headers) == {"content-type", "x-amzn-requestid"}
    assert response.headers["content-type"] == "application/x-amz-json-1.1"


class UnforeseenError(Exception):
    """An error that contains the caller's input, like exceptions of libraries."""


@pytest.mark.parametrize("failure", [UnforeseenError(CANARY), KeyError(CANARY)])
def test_a_defect_is_logged_by_place_without_values(
    failure: Exception, engine: ScriptedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "tokend_server")
    engine.failure = failure
    response = answer({POOL_ID: engine}, call(OPERATION, DOCUMENT))
    text = "Internal error. The request id leads to the service's log."
    assert error_of(response) == (500, "InternalErrorException", text)
    [record] = caplog.records
    extra = {name: value for name, value in vars(record).items() if name not in COMMON_ATTRIBUTES}
    assert "raise self.failure" in extra.pop("traceback")
    assert extra == {
        "method": OPERATION,
        "exception": type(failure).__qualname__,
        "request_id": response.headers["x-amzn-requestid"],
        "message": "internal error",
    }
    assert CANARY not in f"{response} {vars(record)} {logging.Formatter().format(record)}"


@pytest.mark.parametrize(
    ("failure", "level"),
    [
        (errors.NotAuthorized("why"), logging.DEBUG),
        (errors.EngineUnavailable("why"), logging.WARNING),
        (errors.EngineCredentialsRejected("why"), logging.WARNING),
    ],
)
def test_failures_of_the_service_are_logged_as_warnings(
    failure: errors.TokendError, level: int, engine: ScriptedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "tokend_server")
    engine.failure = failure
    answer({POOL_ID: engine}, call(OPERATION, DOCUMENT))
    [record] = caplog.records
    extra = {name: value for name, value in vars(record).items() if name not in COMMON_ATTRIBUTES}
    assert record.levelno == level
    aws = {"aws_error_code": failure.aws_error_code} if failure.aws_error_code else {}
    assert extra == {"method": OPERATION, "reason": failure.reason, "text": "why", "message": "call failed", **aws}


@pytest.mark.parametrize("operation", METHODS)
def test_no_login_appears_in_a_response_or_the_log(
    operation: str, engine: ScriptedEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "tokend_server")
    fields = dict.fromkeys(("DeveloperUserIdentifier", "SourceUserIdentifier"), CANARY * 1000)
    document = {"IdentityPoolId": POOL_ID, "Logins": {"a": CANARY * 10_000, CANARY * 100: ""}, **fields}
    for body in (document, {"IdentityPoolId": "x", "Logins": CANARY, **fields}):
        response = answer({POOL_ID: engine}, call(operation, body))
        assert response.status == 400
        assert CANARY not in f"{response} {[vars(record) for record in caplog.records]}"


def test_a_response_that_cannot_be_serialized_is_an_internal_error(engine: ScriptedEngine) -> None:
    engine.answers["merge"] = object()
    document = {
        "IdentityPoolId": POOL_ID,
        "DeveloperProviderName": "p",
        "SourceUserIdentifier": "a",
        "DestinationUserIdentifier": "b",
    }
    response = answer({POOL_ID: engine}, call("MergeDeveloperIdentities", document))
    assert (response.status, json.loads(response.body)["__type"]) == (500, "InternalErrorException")
