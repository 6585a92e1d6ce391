"""Single calls with both clients, as seen by a user of the client."""

import copy
import math
import pickle
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from tests.clients.python.facades import OPTIONS, TIMEOUT, Facade, SyncFacade
from tests.clients.python.silent import SilentProxy
from tests.fakes.clock import FakeClock
from tests.fakes.developer_identity_server import FakeDeveloperIdentityService, serving

from tokend.v1.error_reason_pb2 import ErrorReason as ContractReason
from tokend_client import (
    CachingPolicy,
    Client,
    Closed,
    ErrorReason,
    FieldViolation,
    LookupResult,
    Resource,
    Token,
    TokenCache,
    TokendError,
    TokenRequest,
    TokenSource,
    downstream_code,
)
from tokend_client.testing import Failure, FakeTokendServer
from tokend_client.testing.failures import REASONS
from tokend_server import errors as server_errors
from tokend_server.rpc.status import STATUS

LOGIN = "s3cret-login"

CLIENTS_README = Path(__file__).parents[3] / "clients" / "README.md"

#: The table of downstream codes, and its rows with reasons.
TABLE = (
    CLIENTS_README.read_text(encoding="utf-8").split("## What a failure becomes downstream", 1)[1].split("\n## ", 1)[0]
)
DOWNSTREAM = {
    name: code
    for names, code in re.findall(r"^\| (`[A-Z_`, ]+`) \| `([A-Z_]+)` \|$", TABLE, re.MULTILINE)
    for name in re.findall(r"`(\w+)`", names)
}

#: The fields of calls that require no users.
MERGE = {
    "identity_pool_id": "r:0",
    "developer_provider_name": "p",
    "source_user_identifier": "a",
    "destination_user_identifier": "b",
}
UNLINK = {
    "identity_pool_id": "r:0",
    "identity_id": "r:1",
    "developer_provider_name": "p",
    "developer_user_identifier": "a",
}


@pytest.fixture
def scripted() -> Iterator[FakeDeveloperIdentityService]:
    with serving() as service:
        yield service


def failed(facade: Facade, request: TokenRequest, timeout: float | None = None) -> TokendError:
    with pytest.raises(TokendError) as caught:
        facade.call("get_token", request=request, timeout=timeout)
    return caught.value


def test_reasons_are_those_of_the_contract() -> None:
    names = {name.removeprefix("ERROR_REASON_") for name in ContractReason.keys()}  # noqa: SIM118 - an enum wrapper
    assert {str(reason) for reason in ErrorReason} == names - {"UNSPECIFIED"}


def test_the_fake_has_the_codes_of_the_service_for_each_reason() -> None:
    of_devices = {server_errors.InvalidIdentityPoolConfiguration}  # of an operation that is not in the contract
    called = {error: row for error, row in STATUS.items() if error.reason and error not in of_devices}
    service = {error.reason: (row.code, error.aws_error_code) for error, row in called.items()}
    internal = {"INTERNAL": (grpc.StatusCode.INTERNAL, None)}
    assert {str(reason): row for reason, row in REASONS.items()} == service | internal
    assert server_errors.TokendError.aws_error_code is None


@pytest.mark.parametrize("reason", ErrorReason)
def test_every_reason_arrives(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest, reason: ErrorReason
) -> None:
    server.fail(Failure(reason))
    error = failed(facade, alice)
    assert (error.code, error.aws_error_code) == REASONS[reason]
    assert error.reason == reason
    attempts = 4 if error.code is grpc.StatusCode.UNAVAILABLE else 1
    assert len(server.requests) == attempts


def test_every_detail_arrives(facade: Facade, server: FakeTokendServer, alice: TokenRequest) -> None:
    violations = (FieldViolation("logins", "too many"), FieldViolation("token_duration", "too long"))
    server.fail(
        Failure(
            ErrorReason.VALIDATION_FAILED,
            text="Everything is wrong.",
            retry_delay=timedelta(seconds=1.5),
            violations=violations,
            resource=Resource("IdentityPool", "r:0"),
            aws_request_id="aws-1",
            request_id="r-1",
        )
    )
    error = failed(facade, alice)
    assert error.violations == violations
    assert (error.retry_delay, error.resource) == (timedelta(seconds=1.5), Resource("IdentityPool", "r:0"))
    assert (error.aws_request_id, error.request_id, error.text) == ("aws-1", "r-1", "Everything is wrong.")
    assert str(error) == "INVALID_ARGUMENT VALIDATION_FAILED: Everything is wrong."


def test_an_error_without_details_has_none(
    facade_type: type[Facade], scripted: FakeDeveloperIdentityService, alice: TokenRequest
) -> None:
    scripted.fail(grpc.StatusCode.ABORTED, "no details")
    with facade_type(scripted.endpoint) as facade:
        error = failed(facade, alice)
    assert (error.code, error.reason, error.text) == (grpc.StatusCode.ABORTED, None, "no details")
    assert (error.retry_delay, error.violations, error.resource, error.aws_error_code) == (None, (), None, None)


def test_damaged_details_do_not_hide_the_status(
    facade_type: type[Facade], scripted: FakeDeveloperIdentityService, alice: TokenRequest
) -> None:
    scripted.fail_with_damaged_details(grpc.StatusCode.NOT_FOUND, "gone")
    with facade_type(scripted.endpoint) as facade:
        assert failed(facade, alice).code is grpc.StatusCode.NOT_FOUND


def test_a_reason_of_another_domain_is_ignored(
    facade_type: type[Facade], scripted: FakeDeveloperIdentityService, alice: TokenRequest
) -> None:
    scripted.fail(
        grpc.StatusCode.PERMISSION_DENIED, "the mesh says no", ErrorInfo(reason="NOT_AUTHORIZED", domain="mesh")
    )
    with facade_type(scripted.endpoint) as facade:
        assert failed(facade, alice).reason is None


def test_a_call_ends_at_its_callers_deadline(facade: Facade, server: FakeTokendServer, alice: TokenRequest) -> None:
    server.pause()
    assert failed(facade, alice, timeout=0.05).code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_call_has_the_clients_deadline_if_its_caller_sets_none(
    facade_type: type[Facade], scripted: FakeDeveloperIdentityService
) -> None:
    clients: list[dict[str, Any]] = [{}, {"timeout": 50.0}]
    for settings in clients:
        with facade_type(scripted.endpoint, **settings) as facade:
            facade.call("unlink_developer_identity", **UNLINK)
            facade.call("merge_developer_identities", **MERGE)
    # gRPC sends a deadline with two or three digits, rounded up. Calls with a second attempt use half of it first.
    expected = [pytest.approx(3, abs=0.5), pytest.approx(1.5, abs=0.5), pytest.approx(50, abs=2)]
    assert scripted.times_remaining == [*expected, pytest.approx(25, abs=2)]


def test_only_idempotent_calls_are_retried_without_a_response(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest
) -> None:
    server.pause()
    calls: list[tuple[str, dict[str, Any], int]] = [
        ("get_token", {"request": alice}, 3),
        ("lookup_developer_identity", {"identity_pool_id": "local:0", "identity_id": "local:1"}, 3),
        ("merge_developer_identities", MERGE, 2),
        ("unlink_developer_identity", UNLINK, 1),
    ]
    for operation, fields, attempts in calls:
        before, begun = len(facade.calls.methods), time.monotonic()
        with pytest.raises(TokendError) as caught:
            facade.call(operation, timeout=1.2, **fields)
        assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert len(facade.calls.methods) - before == attempts
        assert time.monotonic() - begun >= 1.1


def test_a_call_succeeds_after_attempts_without_a_response(
    facade_type: type[Facade], server: FakeTokendServer, alice: TokenRequest
) -> None:
    with facade_type(server.endpoint, CachingPolicy(refresh_timeout=6)) as facade:
        server.pause()
        future = facade.source(alice).token_future()
        server.wait_for_calls(3)
        server.resume()
        assert future.result(TIMEOUT).identity_id
        assert len(facade.calls.methods) == 3


def test_no_call_fails_while_one_of_two_replicas_hangs(
    facade_type: type[Facade], server: FakeTokendServer, alice: TokenRequest
) -> None:
    users = [replace(alice, logins={server.developer_provider_name: f"u{number}"}) for number in range(40)]
    policy = CachingPolicy(refresh_timeout=10)
    # So that nothing else moves calls away from the hung replica.
    options = (*OPTIONS, ("grpc.http2.ping_timeout_ms", 60_000), ("grpc.keepalive_timeout_ms", 60_000))
    with (
        SilentProxy(server.endpoint) as hung,
        SilentProxy(server.endpoint) as other,
        facade_type(f"ipv4:{hung.endpoint},{other.endpoint}", policy, options=options) as facade,
    ):
        for user in users[:8]:
            facade.ask(user)
        hung.fall_silent()
        futures = [facade.source(user).token_future() for user in users[8:]]
        assert len({future.result(TIMEOUT).identity_id for future in futures}) == len(futures)


@pytest.mark.parametrize("timeout", [0, -0.5, math.nan, -math.inf])
def test_a_timeout_is_positive(facade_type: type[Facade], timeout: float) -> None:
    with pytest.raises(ValueError, match=f"timeout must be positive: {timeout}"):
        facade_type("localhost:1", timeout=timeout)


@pytest.mark.parametrize("timeout", [math.inf, 1e18])
def test_infinite_timeouts_are_accepted(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest, timeout: float
) -> None:
    assert facade.call("get_token", request=alice, timeout=timeout)
    assert facade.ask(alice, timeout)
    with type(facade)(server.endpoint, timeout=timeout) as by_default:
        assert by_default.call("get_token", request=alice)
    policy = CachingPolicy(refresh_timeout=timeout)
    with type(facade)(server.endpoint, policy) as patient:
        assert patient.ask(alice)


@pytest.mark.parametrize("timeout", [0.05, 1.0])
def test_a_call_of_a_second_or_less_is_made_once(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest, timeout: float
) -> None:
    server.pause()
    assert failed(facade, alice, timeout=timeout).code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(facade.calls.methods) == 1


def test_the_error_of_a_stopped_server_has_no_reason(
    facade: Facade, server: FakeTokendServer, alice: TokenRequest
) -> None:
    server.stop()
    error = failed(facade, alice)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, None)


def test_times_are_those_of_the_server(facade: Facade, clock: FakeClock, alice: TokenRequest) -> None:
    issued = facade.call("get_token", request=alice)
    assert issued.expire_time == datetime.fromtimestamp(clock.now() + 900, UTC)
    assert issued.refresh_time == datetime.fromtimestamp(clock.now() + 300, UTC)
    assert issued.issue_time == datetime.fromtimestamp(clock.now(), UTC)


@pytest.mark.parametrize("make", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors_can_be_copied_and_sent_to_other_processes(make: object) -> None:
    error = TokendError("text", grpc.StatusCode.ABORTED)
    error.reason, error.retry_delay = "X", timedelta(seconds=1)
    assert callable(make)
    for each in (error, Closed()):
        again = make(each)
        assert type(again) is type(each)
        assert (str(again), vars(again)) == (str(each), vars(each))


def test_requests_can_be_sent_to_other_processes_and_copied() -> None:
    request = TokenRequest(
        identity_pool_id="r:0", logins={"p": LOGIN}, principal_tags={"a": "b"}, token_duration=timedelta(seconds=9)
    )
    for again in (pickle.loads(pickle.dumps(request)), copy.copy(request), copy.deepcopy(request)):
        assert again == request
        assert again.key == request.key
        assert LOGIN not in repr(again)


@pytest.mark.parametrize("reason", list(ErrorReason))
def test_every_reason_has_the_code_downstream_that_the_table_says(reason: ErrorReason) -> None:
    error = TokendError("x", grpc.StatusCode.INTERNAL)
    error.reason = reason
    assert downstream_code(error).name == DOWNSTREAM[reason]


def test_the_table_of_codes_downstream_has_no_other_reasons() -> None:
    assert set(DOWNSTREAM) == set(ErrorReason)


def downstream_without_a_reason(code: grpc.StatusCode) -> str:
    """The rows of the table; CANCELLED is the row of a caller that cancels its own call, not of a refresh."""
    for codes, becomes in re.findall(r"^\| without a reason: ([^|;]+).*? \| (.+?) \|$", TABLE, re.MULTILINE):
        if f"`{code.name}`" in codes:
            return code.name if becomes == "the same" else str(becomes).strip("`")
    (rest,) = re.findall(r"^\| anything else,.* \| `(\w+)` \|$", TABLE, re.MULTILINE)
    return str(rest)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_codes_without_a_reason_have_the_downstream_code_of_the_table(code: grpc.StatusCode) -> None:
    error = TokendError("x", code)
    assert downstream_code(error).name == downstream_without_a_reason(code)
    error.reason = "A_REASON_OF_TOMORROW"
    assert downstream_code(error) is grpc.StatusCode.UNAVAILABLE


def test_representations_contain_no_login_or_token(server: FakeTokendServer) -> None:
    request = TokenRequest(identity_pool_id=server.identity_pool_id, logins={server.developer_provider_name: LOGIN})
    with (
        Client(server.endpoint, plaintext=True) as client,
        TokenCache(client) as cache,
        TokenSource(client, request) as source,
    ):
        token = source.token()
        found = client.lookup_developer_identity(
            identity_pool_id=server.identity_pool_id, developer_user_identifier=LOGIN
        )
        server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
        with pytest.raises(TokendError) as caught:
            client.get_token(request)
        shown = [f"{value} {value!r}" for value in (request, token, found, cache, source, client, caught.value)]
    assert found.developer_user_identifiers == (LOGIN,)
    assert not [text for text in shown if LOGIN in text or token.value in text]


def test_results_are_frozen(server: FakeTokendServer, alice: TokenRequest) -> None:
    with SyncFacade(server.endpoint) as facade:
        token: Token = facade.call("get_token", request=alice)
    for value in (token, LookupResult("r:0", ()), alice):
        with pytest.raises(AttributeError):
            value.identity_id = "other"  # type: ignore[misc]
