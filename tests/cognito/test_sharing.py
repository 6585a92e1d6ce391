"""Identical concurrent calls cause one request to Cognito, and no caller gets another's response."""

from collections.abc import Iterator
from typing import Any

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
    UNLINK,
    RunningService,
    Services,
    claims_of,
    code_of,
    same,
    token_request,
)
from tests.fakes.cognito_engine import identity_id_of
from tests.fakes.cognito_script import AwsFailure, Hang, Step, Success
from tests.fakes.cognito_upstream import CognitoUpstream
from tests.support.grpc_service import failure

from tokend.v1 import developer_identity_service_pb2 as pb

THREADS = 8
HELD = Hang(then=Success())


@pytest.fixture
def service(services: Services, upstream: CognitoUpstream) -> Iterator[RunningService]:
    yield services.start(upstream.url, threads=THREADS, timeout_seconds=60)
    upstream.release()


@pytest.mark.parametrize("method", [GET, LOOKUP])
def test_as_many_identical_calls_as_are_admitted_cost_one_request(
    service: RunningService, upstream: CognitoUpstream, method: str, wait_for_joining: WaitForJoining
) -> None:
    upstream.always(HELD)
    calls = [service.begin(method) for _ in range(THREADS)]
    wait_for_joining(THREADS)
    upstream.wait_for_held(1)
    upstream.release()
    answers = [call.result() for call in calls]
    assert len(answers) == THREADS
    assert same(*answers)
    assert len(upstream.requests) == 1
    assert service.metric("tokend_cognito_answers_total", source="cognito") == 1
    assert service.metric("tokend_cognito_answers_total", source="shared") == THREADS - 1


def test_a_refusal_is_shared_too(
    service: RunningService, upstream: CognitoUpstream, wait_for_joining: WaitForJoining
) -> None:
    upstream.always(Hang(then=AwsFailure("NotAuthorizedException")))
    calls = [service.begin() for _ in range(THREADS)]
    wait_for_joining(THREADS)
    upstream.wait_for_held(1)
    upstream.release()
    failures = [failure(call.result) for call in calls]
    assert {(each.code, each.text) for each in failures} == {(grpc.StatusCode.PERMISSION_DENIED, "What went wrong.")}
    assert len(upstream.requests) == 1


def test_each_caller_gets_the_answer_for_its_own_user(
    service: RunningService, upstream: CognitoUpstream, wait_for_joining: WaitForJoining
) -> None:
    upstream.always(HELD)
    users = ["a", "b", "ab", ""] * 2
    users = [f"user {name}" for name in users]
    calls = [service.begin(GET, token_request(user)) for user in users]
    wait_for_joining(len(users))
    upstream.wait_for_held(4)
    upstream.release()
    for user, call in zip(users, calls, strict=True):
        answer = call.result()
        assert answer.identity_id == identity_id_of(COGNITO_POOL, user)
        assert claims_of(answer.token)["sub"] == answer.identity_id
    assert len(upstream.requests) == 4


DIFFERENT = {
    "no difference": token_request("alice"),
    "user": token_request("bob"),
    "identity": token_request("alice", identity_id=IDENTITY),
    "duration": token_request("alice", token_duration=Duration(seconds=60)),
    "tag": token_request("alice", principal_tags={"team": "blue"}),
    "other tag": token_request("alice", principal_tags={"team": "red"}),
    "another login": pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=COGNITO_POOL, logins={PROVIDER: "alice", "accounts.google.com": "a.b.c"}
    ),
}


def test_different_concurrent_requests_are_not_shared(
    service: RunningService, upstream: CognitoUpstream, wait_for_joining: WaitForJoining
) -> None:
    upstream.always(HELD)
    calls = {name: service.begin(GET, request) for name, request in DIFFERENT.items()}
    wait_for_joining(len(calls))
    upstream.wait_for_held(len(calls))
    upstream.release()
    answers = {name: call.result() for name, call in calls.items()}
    assert len({answer.token for answer in answers.values()}) == len(DIFFERENT)
    lives = {name: _life(answer.token) for name, answer in answers.items()}
    assert lives == dict.fromkeys(DIFFERENT, 900) | {"duration": 60}
    assert answers["identity"].identity_id == IDENTITY


def test_an_explicit_default_duration_shares_the_request(
    service: RunningService, upstream: CognitoUpstream, wait_for_joining: WaitForJoining
) -> None:
    upstream.always(HELD)
    calls = [service.begin(), service.begin(GET, token_request("alice", token_duration=Duration(seconds=900)))]
    wait_for_joining(2)
    upstream.wait_for_held(1)
    upstream.release()
    assert same(calls[0].result(), calls[1].result())
    assert len(upstream.requests) == 1


def test_without_single_flight_every_call_makes_a_request(services: Services, upstream: CognitoUpstream) -> None:
    service = services.start(upstream.url, threads=THREADS, single_flight=False, timeout_seconds=60)
    upstream.always(HELD)
    calls = [service.begin() for _ in range(THREADS)]
    upstream.wait_for_held(THREADS)
    upstream.release()
    assert len({call.result().token for call in calls}) == THREADS
    assert len(upstream.requests) == THREADS
    assert service.metric("tokend_cognito_answers_total", source="cognito") == THREADS


@pytest.mark.parametrize("method", [MERGE, UNLINK])
def test_changes_are_never_shared(service: RunningService, upstream: CognitoUpstream, method: str) -> None:
    upstream.always(HELD)
    calls = [service.begin(method) for _ in range(3)]
    upstream.wait_for_held(3)
    upstream.release()
    assert [call.exception() for call in calls] == [None] * 3
    assert len(upstream.requests) == 3


@pytest.mark.parametrize("method", [GET, LOOKUP])
@pytest.mark.parametrize("change", [MERGE, UNLINK])
@pytest.mark.parametrize("outcome", [Success(), AwsFailure("InternalErrorException", status=500)], ids=["done", "lost"])
def test_a_call_after_a_change_does_not_share_an_earlier_request(
    services: Services, upstream: CognitoUpstream, method: str, change: str, outcome: Step
) -> None:
    service = services.start(upstream.url, max_attempts=1, timeout_seconds=60)
    upstream.script([HELD, outcome])
    before = service.begin(method)
    upstream.wait_for_held(1)
    service.begin(change).exception()
    service.call(method)
    assert not before.done()
    assert [request.operation for request in upstream.requests] == [method, change, method]
    upstream.release()
    before.result()


def test_a_leader_that_times_out_does_not_fail_the_followers(
    service: RunningService, upstream: CognitoUpstream, wait_for_joining: WaitForJoining
) -> None:
    upstream.always(HELD)
    hurried = service.begin(timeout=2)
    upstream.wait_for_held(1)
    patient = [service.begin() for _ in range(3)]
    wait_for_joining(4)
    assert code_of(hurried) == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_for_joining(3)
    upstream.wait_for_held(2)
    upstream.release()
    answers = [call.result() for call in patient]
    assert same(*answers)
    assert len(upstream.requests) == 2


def test_a_follower_that_times_out_does_not_affect_the_leader(
    service: RunningService, upstream: CognitoUpstream, wait_for_joining: WaitForJoining
) -> None:
    upstream.always(HELD)
    patient = service.begin()
    upstream.wait_for_held(1)
    hurried = service.begin(timeout=2)
    wait_for_joining(2)
    assert code_of(hurried) == grpc.StatusCode.DEADLINE_EXCEEDED
    upstream.release()
    assert patient.result().token
    assert len(upstream.requests) == 1


def _life(token: str) -> int:
    claims: dict[str, Any] = claims_of(token)
    life: int = claims["exp"] - claims["iat"]
    return life
