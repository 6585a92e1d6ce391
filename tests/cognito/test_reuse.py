"""Reused tokens: only for the same request, and only while they are valid."""

from collections.abc import Callable, Iterator

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.cognito.conftest import WaitForJoining
from tests.cognito.running_service import (
    COGNITO_POOL,
    GET,
    IDENTITY,
    LOOKUP,
    MERGE,
    PROVIDER,
    TIMEOUT,
    UNLINK,
    RunningService,
    Services,
    ShiftedClock,
    claims_of,
    code_of,
    same,
    token_request,
)
from tests.fakes.clock import FakeClock
from tests.fakes.cognito_faults import AWS_FAILURES, GARBAGE, SERVER_FAULTS, THROTTLED
from tests.fakes.cognito_script import AwsFailure, Close, Drip, Hang, HangBeforeReading, Reset, Step, Success
from tests.fakes.cognito_upstream import CognitoUpstream

from tokend.v1 import developer_identity_service_pb2 as pb

#: Of a token of 900 seconds.
UNTIL_REFRESH = 300
UNTIL_MARGIN = 840

FAILED = AwsFailure("InternalErrorException", "Internal error", 500)

OUTAGES: dict[str, Step] = {
    "throttled": THROTTLED,
    **SERVER_FAULTS,
    **GARBAGE,
    "closed": Close(),
    "reset": Reset(),
    "unknown error": AwsFailure("NewException"),
}

CALLER_OR_CREDENTIAL_ERRORS = [
    code
    for code in AWS_FAILURES
    if code
    not in {
        "TooManyRequestsException",
        "InternalErrorException",
        "ConcurrentModificationException",
        "InvalidIdentityPoolConfigurationException",
    }
]

DELAYS: dict[str, Step] = {"hangs": Hang(), "does not read": HangBeforeReading(), "drips": Drip(0.2)}

#: Requests with different responses.
DIFFERENT = [
    token_request("bob"),
    token_request("alice", identity_id=IDENTITY),
    token_request("alice", token_duration=Duration(seconds=60)),
    token_request("alice", principal_tags={"team": "blue"}),
    token_request("alice", principal_tags={"team": "red"}),
    token_request("alice", principal_tags={"blue": "team"}),
    pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=COGNITO_POOL, logins={PROVIDER: "alice", "accounts.google.com": "a.b.c"}
    ),
]

Serve = Callable[..., RunningService]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def dated(clock: FakeClock) -> Iterator[CognitoUpstream]:
    """An upstream that uses the service's clock for its tokens."""
    with CognitoUpstream(clock) as running:
        yield running


@pytest.fixture
def reusing(services: Services, dated: CognitoUpstream, clock: FakeClock) -> Serve:
    return lambda **cognito: services.start(dated.url, clock, max_attempts=1, reuse_tokens=True, **cognito)


def test_a_repeated_request_makes_no_call(reusing: Serve, dated: CognitoUpstream) -> None:
    service = reusing()
    first = service.get_token()
    assert all(same(service.get_token(), first) for _ in range(5))
    assert len(dated.requests) == 1
    assert service.metric("tokend_cognito_answers_total", source="cognito") == 1
    assert service.metric("tokend_cognito_answers_total", source="reused") == 5


def test_tokens_are_not_reused_by_default(services: Services, dated: CognitoUpstream, clock: FakeClock) -> None:
    service = services.start(dated.url, clock)
    assert service.get_token().token != service.get_token().token
    assert len(dated.requests) == 2


def test_no_token_is_reused_past_its_refresh_time(reusing: Serve, dated: CognitoUpstream, clock: FakeClock) -> None:
    service = reusing()
    first = service.get_token()
    clock.advance(UNTIL_REFRESH - 1)
    assert same(service.get_token(), first)
    clock.advance(1)
    assert first.refresh_time.seconds == clock.now()
    second = service.get_token()
    assert second.token != first.token
    assert second.refresh_time.seconds == clock.now() + UNTIL_REFRESH
    assert same(service.get_token(), second)
    assert len(dated.requests) == 2


def test_issue_time_is_the_time_of_the_response_and_not_of_the_token(reusing: Serve, clock: FakeClock) -> None:
    service = reusing()
    first = service.get_token()
    assert first.issue_time.seconds == clock.now() == claims_of(first.token)["iat"]
    clock.advance(299.25)
    second = service.get_token()
    assert same(first, second)
    assert second.issue_time.ToMilliseconds() - first.issue_time.ToMilliseconds() == 299_250


def test_different_requests_do_not_share_tokens(reusing: Serve, dated: CognitoUpstream) -> None:
    service = reusing()
    alice = service.get_token()
    answers = [service.call(GET, request) for request in DIFFERENT]
    assert len({answer.token for answer in [alice, *answers]}) == len(dated.requests) == 1 + len(DIFFERENT)
    assert [service.call(GET, request) for request in DIFFERENT] == answers
    assert same(service.get_token(), alice)
    assert len(dated.requests) == 1 + len(DIFFERENT)


@pytest.mark.parametrize("change", [MERGE, UNLINK])
@pytest.mark.parametrize("outcome", [Success(), FAILED, AwsFailure("ResourceNotFoundException")])
def test_a_merge_or_unlink_discards_the_cached_token_with_any_outcome(
    reusing: Serve, dated: CognitoUpstream, change: str, outcome: Step
) -> None:
    service = reusing()
    first = service.get_token()
    dated.script([outcome])
    service.begin(change).exception()
    assert service.get_token().token != first.token
    assert [request.operation for request in dated.requests] == [GET, change, GET]


def test_a_token_requested_before_a_change_is_not_cached(reusing: Serve, dated: CognitoUpstream) -> None:
    service = reusing()
    dated.script([Hang(then=Success())])
    before = service.begin()
    dated.wait_for_held(1)
    service.call(UNLINK)
    dated.release()
    assert service.get_token().token != before.result().token
    assert len(dated.requests) == 3


def test_lookups_are_not_cached(reusing: Serve, dated: CognitoUpstream) -> None:
    service = reusing()
    service.call(LOOKUP)
    service.call(LOOKUP)
    assert len(dated.requests) == 2


def test_a_failure_is_not_cached(reusing: Serve, dated: CognitoUpstream) -> None:
    service = reusing()
    dated.script([FAILED, AwsFailure("NotAuthorizedException")])
    assert service.refused().reason == "ENGINE_UNAVAILABLE"
    assert service.refused().reason == "NOT_AUTHORIZED"
    assert service.get_token().token


def test_the_number_of_cached_tokens_is_limited(reusing: Serve, dated: CognitoUpstream) -> None:
    service = reusing(reuse_max_tokens=2)
    for user in ("a", "b", "a", "c", "a", "b"):
        service.get_token(user)
    assert [request.body["Logins"][PROVIDER] for request in dated.requests] == ["a", "b", "c", "b"]


def test_reuse_changes_no_identity_and_no_claim(services: Services, dated: CognitoUpstream, clock: FakeClock) -> None:
    requests = [token_request("alice"), *DIFFERENT] * 2
    seen = []
    for reuse in (False, True):
        service = services.start(dated.url, clock, reuse_tokens=reuse, requests_per_second=0)
        answers = [service.call(GET, request) for request in requests]
        seen.append([(each.identity_id, each.expire_time, claims_of(each.token)) for each in answers])
    assert seen[0] == seen[1]
    assert len(dated.requests) == len(requests) * 1.5


def test_without_serve_stale_a_failure_is_reported(reusing: Serve, dated: CognitoUpstream, clock: FakeClock) -> None:
    service = reusing()
    service.get_token()
    clock.advance(UNTIL_REFRESH)
    dated.always(FAILED)
    assert service.refused().reason == "ENGINE_UNAVAILABLE"


@pytest.mark.parametrize("name", OUTAGES)
def test_a_stale_token_is_returned_during_an_outage(
    reusing: Serve, dated: CognitoUpstream, clock: FakeClock, name: str
) -> None:
    service = reusing(serve_stale=True)
    cached = service.get_token()
    dated.always(OUTAGES[name])
    clock.advance(UNTIL_REFRESH)
    assert same(service.get_token(), cached)
    clock.advance(UNTIL_MARGIN - UNTIL_REFRESH - 1)
    assert same(service.get_token(), cached)
    assert service.metric("tokend_cognito_answers_total", source="stale") == 2
    assert service.refused(GET, token_request("bob")).reason in {"ENGINE_UNAVAILABLE", "TOO_MANY_REQUESTS"}
    clock.advance(1)
    assert service.refused().reason in {"ENGINE_UNAVAILABLE", "TOO_MANY_REQUESTS"}
    dated.always(Success())
    assert service.get_token().token != cached.token


def test_a_stale_token_is_returned_when_cognito_refuses_connections(
    reusing: Serve, dated: CognitoUpstream, clock: FakeClock
) -> None:
    service = reusing(serve_stale=True)
    cached = service.get_token()
    clock.advance(UNTIL_REFRESH)
    dated.stop_listening()
    assert same(service.get_token(), cached)


def test_a_stale_token_is_returned_when_the_quota_is_used_up(
    reusing: Serve, dated: CognitoUpstream, clock: FakeClock
) -> None:
    service = reusing(serve_stale=True, requests_per_second=0.002, burst=1)
    cached = service.get_token()
    clock.advance(UNTIL_REFRESH)
    assert same(service.get_token(), cached)
    assert len(dated.requests) == 1


def test_during_an_outage_cognito_is_retried_periodically(
    reusing: Serve, dated: CognitoUpstream, clock: FakeClock
) -> None:
    service = reusing(serve_stale=True)
    cached = service.get_token()
    clock.advance(UNTIL_REFRESH)
    dated.always(FAILED)
    assert all(same(service.get_token(), cached) for _ in range(5))
    assert len(dated.requests) == 2
    clock.advance(1)
    assert all(same(service.get_token(), cached) for _ in range(5))
    assert len(dated.requests) == 3
    dated.always(Success())
    clock.advance(1)
    assert service.get_token().token != cached.token
    assert len(dated.requests) == 4


@pytest.mark.parametrize("code", CALLER_OR_CREDENTIAL_ERRORS)
def test_no_stale_token_is_returned_for_errors_of_callers_or_credentials(
    reusing: Serve, dated: CognitoUpstream, clock: FakeClock, code: str
) -> None:
    service = reusing(serve_stale=True)
    service.get_token()
    clock.advance(UNTIL_REFRESH)
    dated.always(AWS_FAILURES[code])
    assert service.refused().reason not in {"ENGINE_UNAVAILABLE", "TOO_MANY_REQUESTS"}
    assert service.metric("tokend_cognito_answers_total", source="stale") == 0


@pytest.mark.parametrize("change", [MERGE, UNLINK])
def test_no_stale_token_is_returned_after_a_change(
    reusing: Serve, dated: CognitoUpstream, clock: FakeClock, change: str
) -> None:
    service = reusing(serve_stale=True)
    service.get_token()
    clock.advance(UNTIL_REFRESH)
    service.call(change)
    dated.always(FAILED)
    assert service.refused().reason == "ENGINE_UNAVAILABLE"


def test_a_stale_token_that_reaches_its_margin_during_the_call_is_not_returned(
    reusing: Serve, dated: CognitoUpstream, clock: FakeClock
) -> None:
    service = reusing(serve_stale=True, stale_margin_seconds=0)
    cached = service.get_token()
    clock.advance(899.5)
    dated.always(Hang(then=FAILED))
    call = service.begin()
    dated.wait_for_held(1)
    clock.advance(0.5)
    assert cached.expire_time.seconds == clock.now()
    dated.release()
    assert code_of(call) == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("name", DELAYS)
@pytest.mark.parametrize("deadline", [TIMEOUT, None, 1.5])
def test_a_stale_token_is_returned_when_cognito_is_slow(services: Services, name: str, deadline: float | None) -> None:
    clock = ShiftedClock()
    with CognitoUpstream(clock) as upstream:
        service = services.start(upstream.url, clock, reuse_tokens=True, serve_stale=True, timeout_seconds=60)
        cached = service.get_token()
        clock.advance(UNTIL_REFRESH)
        upstream.always(DELAYS[name])
        assert same(service.call(GET, timeout=deadline), cached)
        assert service.metric("tokend_cognito_answers_total", source="stale") == 1


def test_concurrent_calls_with_a_stale_token_make_one_request(
    reusing: Serve, dated: CognitoUpstream, clock: FakeClock, wait_for_joining: WaitForJoining
) -> None:
    service = reusing(serve_stale=True)
    cached = service.get_token()
    clock.advance(UNTIL_REFRESH)
    dated.always(Hang(then=FAILED))
    calls = [service.begin() for _ in range(4)]
    wait_for_joining(1 + len(calls))
    dated.wait_for_held(1)
    dated.release()
    assert all(same(call.result(), cached) for call in calls)
    assert same(service.get_token(), cached)
    assert len(dated.requests) == 2
