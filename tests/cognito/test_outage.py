"""Failures of Cognito, or of the network, are reported as such, and affect only Cognito's pools."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import grpc
import pytest
from tests.cognito.conftest import Pair
from tests.cognito.running_service import (
    GET,
    LOCAL_POOL,
    LOOKUP,
    MERGE,
    METHODS,
    UNLINK,
    Services,
    metadata_of,
    retry_delay_of,
    token_request,
)
from tests.fakes.cognito_faults import AWS_FAILURES, GARBAGE, SERVER_FAULTS
from tests.fakes.cognito_script import AwsFailure, Body, Close, Hang, Reset, Sent, Step, Success
from tests.fakes.cognito_upstream import CognitoUpstream
from tests.support.grpc_service import Failure

UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")
REJECTED = (grpc.StatusCode.UNAVAILABLE, "ENGINE_CREDENTIALS_REJECTED")

#: The error seen by callers; the text is AWS's unless one is given here.
EXPECTED: Mapping[str, tuple[grpc.StatusCode, str]] = {
    "InvalidParameterException": (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PARAMETER"),
    "ValidationException": (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED"),
    "NotAuthorizedException": (grpc.StatusCode.PERMISSION_DENIED, "NOT_AUTHORIZED"),
    "ResourceNotFoundException": (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"),
    "ResourceConflictException": (grpc.StatusCode.FAILED_PRECONDITION, "RESOURCE_CONFLICT"),
    "DeveloperUserAlreadyRegisteredException": (grpc.StatusCode.ALREADY_EXISTS, "DEVELOPER_USER_ALREADY_REGISTERED"),
    "TooManyRequestsException": (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS"),
    "LimitExceededException": (grpc.StatusCode.FAILED_PRECONDITION, "LIMIT_EXCEEDED"),
    "ConcurrentModificationException": UNAVAILABLE,
    "ExternalServiceException": (grpc.StatusCode.UNAVAILABLE, "LOGIN_PROVIDER_UNAVAILABLE"),
    "InvalidIdentityPoolConfigurationException": UNAVAILABLE,
    "InternalErrorException": UNAVAILABLE,
    "UnrecognizedClientException": REJECTED,
    "AccessDeniedException": REJECTED,
}

WITH_RETRY_INFO = {"TOO_MANY_REQUESTS", "LOGIN_PROVIDER_UNAVAILABLE", "ENGINE_UNAVAILABLE"}

BROKEN_CONNECTIONS: dict[str, Step] = {
    f"{end.__name__} after {sent.name}": end(sent) for end in (Reset, Close) for sent in Sent
}


class Case(NamedTuple):
    method: str
    step: Step


#: Invalid responses by method.
MALFORMED_RESPONSES: Mapping[str, Case] = {
    f"{method}: {name}": Case(method, step)
    for name, step in GARBAGE.items()
    for method in METHODS
    if method in {GET, UNLINK}
    or name in {"no HTTP", "no JSON", "half a JSON", "a list"}
    or (method in {LOOKUP, MERGE} and name in {"wrong types", "no members", "no identity id"})
}


BODIES_OF_ERRORS = (
    b"",
    b"<html>",
    b"[1]",
    b"{}",
    b'{"message": 1}',
    b'{"__type": 1}',
    b'{"__type": {}}',
    b'{"__type": []}',
    b'"x"',
    b"null",
)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("code", AWS_FAILURES)
def test_every_aws_error_is_mapped_to_its_grpc_code_and_reason(shared: Pair, method: str, code: str) -> None:
    service, upstream = shared
    known = {"code": "other" if code == "InvalidIdentityPoolConfigurationException" else code, "operation": method}
    counted = service.metric("tokend_cognito_request_failures_total", **known)
    upstream.always(AWS_FAILURES[code])
    failed = service.refused(method)
    assert (failed.code, failed.reason) == EXPECTED[code]
    metadata = metadata_of(failed)
    assert metadata["aws_error_code"] == code
    assert len(metadata["aws_request_id"]) == 36
    assert metadata.keys() == {"aws_error_code", "aws_request_id"}
    assert (retry_delay_of(failed) is not None) == (failed.reason in WITH_RETRY_INFO)
    assert ("grpc-retry-pushback-ms" in failed.trailers) == (failed.reason == "TOO_MANY_REQUESTS")
    assert service.metric("tokend_cognito_request_failures_total", **known) == counted + 1


@pytest.mark.parametrize("code", [code for code in AWS_FAILURES if EXPECTED[code][0] != grpc.StatusCode.UNAVAILABLE])
def test_texts_of_aws_about_the_request_reach_the_caller(shared: Pair, code: str) -> None:
    service, upstream = shared
    upstream.always(AwsFailure(code, "Said of the request."))
    text = service.refused().text
    own = {
        "ValidationException": "1 validation error detected: Value at '' failed to satisfy constraint: Request must be "
        "within Cognito's limits",
        "TooManyRequestsException": "Rate exceeded",
    }
    assert text == own.get(code, "Said of the request.")


@pytest.mark.parametrize("code", ["UnrecognizedClientException", "InternalErrorException", "NewException"])
def test_texts_of_aws_about_the_service_do_not_reach_the_caller(shared: Pair, code: str) -> None:
    service, upstream = shared
    upstream.always(AwsFailure(code, "arn:aws:iam::123456789012:user/tokend"))
    assert "123456789012" not in service.refused().text


@pytest.mark.parametrize("fault", SERVER_FAULTS)
@pytest.mark.parametrize("method", METHODS)
def test_a_fault_of_the_server_is_unavailable(shared: Pair, method: str, fault: str) -> None:
    service, upstream = shared
    counted = service.metric("tokend_cognito_request_failures_total", operation=method)
    upstream.always(SERVER_FAULTS[fault])
    failed = service.refused(method)
    assert (failed.code, failed.reason) == UNAVAILABLE
    assert retry_delay_of(failed) == 1.0
    assert service.metric("tokend_cognito_request_failures_total", operation=method) == counted + 1


@pytest.mark.parametrize("case", MALFORMED_RESPONSES)
def test_a_malformed_response_is_a_lasting_error_until_the_next_success(shared: Pair, case: str) -> None:
    method, step = MALFORMED_RESPONSES[case]
    service, upstream = shared
    upstream.always(step)
    failed = service.refused(method)
    assert_lasting(failed)
    upstream.always(Success())
    service.call(method)


def assert_lasting(failed: Failure) -> None:
    assert (failed.code, failed.reason) == UNAVAILABLE
    assert retry_delay_of(failed) is None
    assert failed.trailers["grpc-retry-pushback-ms"] == "-1"


@pytest.mark.parametrize("broken", BROKEN_CONNECTIONS)
@pytest.mark.parametrize("max_attempts", [1, 2])
def test_an_answer_that_breaks_off_is_unavailable(
    services: Services, upstream: CognitoUpstream, broken: str, max_attempts: int
) -> None:
    service = services.start(upstream.url, max_attempts=max_attempts)
    upstream.always(BROKEN_CONNECTIONS[broken])
    failed = service.refused()
    assert (failed.code, failed.reason) == UNAVAILABLE
    upstream.always(Success())
    assert service.get_token().token


@pytest.mark.parametrize("body", BODIES_OF_ERRORS)
@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 407, 413, 418, 429])
def test_error_responses_with_any_status_and_body_have_a_known_reason(shared: Pair, status: int, body: bytes) -> None:
    service, upstream = shared
    upstream.always(Body(body, status))
    failed = service.refused()
    assert failed.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert failed.reason in {"ENGINE_UNAVAILABLE", "TOO_MANY_REQUESTS", "ENGINE_CREDENTIALS_REJECTED"}


def test_an_upstream_that_refuses_is_unavailable_at_once_and_used_again_when_it_is_back(
    services: Services, upstream: CognitoUpstream
) -> None:
    service = services.start(upstream.url, timeout_seconds=60, connect_timeout_seconds=60)
    for method in METHODS:
        upstream.stop_listening()
        failed = service.refused(method)
        assert (failed.code, failed.reason) == UNAVAILABLE
        assert failed.text == "Cognito cannot be reached."
        upstream.listen_again()
        service.call(method)


def test_local_pools_are_served_while_cognito_hangs(services: Services, upstream: CognitoUpstream) -> None:
    service = services.start(upstream.url, threads=4, beside_local=True, timeout_seconds=60)
    upstream.always(Hang(then=Success()))
    waiting = [service.begin(GET, token_request(f"user-{number}")) for number in range(3)]
    upstream.wait_for_held(3)
    assert service.get_token("bob", LOCAL_POOL).token
    for refused, method in enumerate(METHODS, start=1):
        failed = service.refused(method)
        assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS")
        assert retry_delay_of(failed) == 1.0
        assert failed.trailers["grpc-retry-pushback-ms"] == "1000"
        assert service.metric("tokend_cognito_refused_total", region="us-east-1", limit="calls") == refused
    assert len(upstream.requests) == 3
    assert service.readyz() == (200, "ok\n")
    upstream.always(Success())
    upstream.release()
    assert all(call.result().token for call in waiting)
    assert service.get_token().token


@pytest.mark.parametrize("identical", [True, False])
def test_all_threads_may_wait_for_cognito_without_other_pools(
    services: Services, upstream: CognitoUpstream, *, identical: bool
) -> None:
    service = services.start(upstream.url, threads=3, timeout_seconds=60, single_flight=not identical)
    upstream.always(Hang(then=Success()))
    waiting = [service.begin(GET, token_request("alice" if identical else f"user-{number}")) for number in range(3)]
    upstream.wait_for_held(3)
    upstream.release()
    assert all(call.result().token for call in waiting)


@pytest.mark.parametrize(
    "end", [lambda upstream: upstream.release(), lambda upstream: upstream.stop_listening()], ids=["answer", "end"]
)
def test_a_failed_call_no_longer_counts_towards_max_calls(
    services: Services, upstream: CognitoUpstream, end: Callable[[CognitoUpstream], None]
) -> None:
    service = services.start(upstream.url, max_calls=1, timeout_seconds=60, max_attempts=1)
    upstream.always(Hang(then=AwsFailure("NotAuthorizedException")))
    waiting = service.begin()
    upstream.wait_for_held(1)
    assert service.refused(UNLINK).reason == "TOO_MANY_REQUESTS"
    end(upstream)
    assert waiting.exception()
    upstream.stop_listening()
    upstream.listen_again()
    upstream.always(Success())
    service.call(UNLINK)
