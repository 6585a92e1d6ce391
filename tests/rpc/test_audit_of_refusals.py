"""The audit entries of rejected and failed calls."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from tests.rpc.audited import (
    CANARY,
    CHECKOUT,
    GET,
    HIDDEN,
    KINDS,
    LOOKUP,
    MERGE,
    READER,
    UNLINK,
    Audited,
    audited_service,
    bearing,
)
from tests.support import raw_http2
from tests.support.grpc_service import METHODS, POOL_ID, TIMEOUT, VALID, failure

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server import errors
from tokend_server.rpc.server import SERVICE_NAME

if TYPE_CHECKING:
    from collections.abc import Callable


def audited_error(audited: Audited) -> tuple[str, str, str]:
    """Returns the reason, the code and the caller of the only line, which contains no response."""
    event = audited.event()
    assert event["responseElements"] is None
    assert event["errorMessage"]
    return event["errorCode"], event["additionalEventData"]["grpcCode"], event["userIdentity"].get("principalId", "")


@pytest.mark.parametrize("method", [GET, MERGE, UNLINK])
def test_calls_that_the_policy_denies_are_audited(method: str, audited: Audited) -> None:
    assert failure(lambda: audited.call(method, key=READER)).code is grpc.StatusCode.PERMISSION_DENIED
    assert audited_error(audited) == ("CALLER_NOT_ALLOWED", "PERMISSION_DENIED", "key:reader")
    event = audited.event()
    assert event["requestParameters"]["identityPoolId"] == POOL_ID
    assert "policy" not in event["additionalEventData"]
    assert audited.service.engine.asked == []


def test_calls_that_a_policy_row_restricts_are_audited_with_the_row(audited: Audited) -> None:
    request = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, logins={"a": CANARY}, principal_tags={"clearance": CANARY}
    )
    request.token_duration.seconds = 601
    seen = failure(lambda: audited.call(GET, request))
    assert seen.reason == "CALLER_NOT_ALLOWED"
    event = audited.event()
    assert audited_error(audited)[0] == "CALLER_NOT_ALLOWED"
    assert event["additionalEventData"]["policy"] == "shop"
    assert event["requestParameters"]["tokenDuration"] == 601
    assert event["requestParameters"]["principalTags"] == {"clearance": HIDDEN}
    assert event["errorMessage"] == seen.text
    assert CANARY not in audited.text


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "authorization", [[], [("authorization", f"Bearer tokend_{'x' * 43}")], [("authorization", "")]]
)
def test_an_unknown_caller_gets_unauthenticated(
    method: str, authorization: list[tuple[str, str]], audited: Audited
) -> None:
    seen = failure(lambda: audited.service.call(method, metadata=authorization))
    assert seen.code is grpc.StatusCode.UNAUTHENTICATED
    assert audited_error(audited) == ("CALLER_UNAUTHENTICATED", "UNAUTHENTICATED", "")
    assert audited.event()["userIdentity"] == {"type": "Unknown"}
    assert audited.event()["requestParameters"] == {}  # the message was not read
    assert "x" * 43 not in audited.text


def test_a_throttled_caller_gets_too_many_requests(tmp_path: Path) -> None:
    with audited_service(tmp_path, {"limits": {"calls_per_second": 1, "calls_burst": 1}}) as audited:
        audited.call(LOOKUP)
        failure(lambda: audited.call(LOOKUP), *KINDS)
        first, second = audited.events
        assert "errorCode" not in first
        assert (second["errorCode"], second["userIdentity"]["principalId"]) == ("TOO_MANY_REQUESTS", "key:checkout")


def test_a_call_above_the_concurrency_limit_is_audited(tmp_path: Path) -> None:
    limits = {"limits": {"concurrent_calls": 1}}
    with (
        audited_service(tmp_path, limits) as audited,
        ThreadPoolExecutor(1) as other,
        audited.service.engine.holding() as hold,
    ):
        blocked = other.submit(audited.call, LOOKUP)
        assert hold.entered.wait(TIMEOUT)
        assert failure(lambda: audited.call(GET), *KINDS).text == "Too many calls at once."
        assert audited_error(audited) == ("TOO_MANY_REQUESTS", "RESOURCE_EXHAUSTED", "")
        hold.release.set()
        blocked.result(TIMEOUT)
        assert len(audited.events) == 2


@pytest.mark.parametrize("method", METHODS)
def test_a_malformed_message_is_audited(method: str, audited: Audited) -> None:
    send: Callable[..., bytes] = audited.service.channel.unary_unary(f"/{SERVICE_NAME}/{method}", None, None)
    for serialized in (b"\xff", CANARY.encode()):
        assert failure(partial(send, serialized, metadata=[bearing(CHECKOUT)], timeout=TIMEOUT)).violations
    codes = {(event["errorCode"], event["additionalEventData"]["grpcCode"]) for event in audited.events}
    assert codes == {("VALIDATION_FAILED", "INVALID_ARGUMENT")}
    assert len(audited.events) == 2
    assert CANARY not in audited.text


def test_a_request_beyond_the_limits_is_audited_with_truncated_parameters(audited: Audited) -> None:
    request = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOL_ID, identity_id="i" * 100_000, logins={f"{number}" * 5000: CANARY for number in range(99)}
    )
    assert failure(lambda: audited.call(GET, request)).reason == "VALIDATION_FAILED"
    assert audited_error(audited) == ("VALIDATION_FAILED", "INVALID_ARGUMENT", "key:checkout")
    parameters = audited.event()["requestParameters"]
    assert len(parameters["logins"]) <= 50
    assert len(audited.text) < 50_000
    assert CANARY not in audited.text


def test_too_much_metadata_is_reported(tmp_path: Path) -> None:
    with audited_service(tmp_path, max_metadata_bytes=1024) as audited:
        message = VALID[LOOKUP].SerializeToString()
        padding = ("x-pad", CANARY * 100)
        raw_http2.call(audited.service.address, f"/{SERVICE_NAME}/{LOOKUP}", message, [bearing(CHECKOUT), padding])
        assert audited_error(audited) == ("METADATA_TOO_LARGE", "RESOURCE_EXHAUSTED", "")
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
def test_engine_failures_are_audited(method: str, reason: str, audited: Audited) -> None:
    audited.service.engine.failure = ENGINE_FAILURES[reason]
    seen = failure(lambda: audited.call(method), *KINDS)
    assert audited_error(audited) == (reason, seen.code.name, "key:checkout")
    event = audited.event()
    assert event["errorMessage"] == seen.text
    assert event["additionalEventData"]["policy"] == "shop"
    assert CANARY not in audited.text


def test_a_response_of_a_wrong_type_is_audited_as_an_internal_error(audited: Audited) -> None:
    audited.service.engine.answers["get"] = CANARY
    failure(lambda: audited.call(GET), *KINDS)
    assert audited_error(audited) == ("INTERNAL", "INTERNAL", "key:checkout")
    assert CANARY not in audited.text
