"""The service limits itself to Cognito's quota."""

from collections.abc import Sequence

import grpc
import pytest
from botocore.retries.standard import ExponentialBackoff
from tests.cognito.running_service import GET, LOOKUP, METHODS, Services, retry_delay_of, token_request
from tests.fakes.clock import FakeClock
from tests.fakes.cognito_faults import THROTTLED
from tests.fakes.cognito_script import AwsFailure, Step
from tests.fakes.cognito_upstream import CognitoUpstream

FAILED = AwsFailure("InternalErrorException", "Internal error", 500)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.mark.parametrize("method", METHODS)
def test_calls_above_the_quota_are_rejected_without_a_request(
    services: Services, upstream: CognitoUpstream, clock: FakeClock, method: str
) -> None:
    service = services.start(upstream.url, clock, requests_per_second=0.5, burst=2)
    service.call(method)
    service.call(method)
    failed = service.refused(method)
    assert (failed.code, failed.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS")
    assert retry_delay_of(failed) == 2.0
    assert failed.trailers["grpc-retry-pushback-ms"] == "2000"
    assert len(upstream.requests) == 2
    assert service.metric("tokend_cognito_refused_total", region="us-east-1", limit="quota") == 1
    clock.advance(2)
    service.call(method)
    assert len(upstream.requests) == 3


def test_a_call_after_the_pushback_is_not_rejected_again(
    services: Services, upstream: CognitoUpstream, clock: FakeClock
) -> None:
    service = services.start(upstream.url, clock, requests_per_second=3, burst=1)
    service.get_token()
    pushback = service.refused().trailers["grpc-retry-pushback-ms"]
    clock.advance(int(pushback) / 1000)
    service.get_token()


def test_each_operation_has_its_own_quota(services: Services, upstream: CognitoUpstream, clock: FakeClock) -> None:
    service = services.start(upstream.url, clock, requests_per_second=1, burst=1)
    for method in METHODS:
        service.call(method)
    assert len(upstream.requests) == len(METHODS)
    assert service.refused(LOOKUP).reason == "TOO_MANY_REQUESTS"


@pytest.mark.parametrize(
    ("failures", "reason"),
    [([THROTTLED] * 3, "TOO_MANY_REQUESTS"), ([FAILED] * 3, "ENGINE_UNAVAILABLE")],
    ids=["throttle", "fault"],
)
def test_retries_count_towards_the_quota(  # noqa: PLR0913, PLR0917 - fixtures
    services: Services,
    upstream: CognitoUpstream,
    clock: FakeClock,
    failures: Sequence[Step],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)
    service = services.start(upstream.url, clock, requests_per_second=1, burst=2, max_attempts=5)
    upstream.script(failures)
    refusal = service.refused()
    assert (refusal.reason, retry_delay_of(refusal)) == (reason, 1.0)
    assert len(upstream.requests) == 2
    assert service.metric("tokend_cognito_refused_total") == 0
    assert service.refused().reason == "TOO_MANY_REQUESTS"
    assert len(upstream.requests) == 2
    assert service.metric("tokend_cognito_refused_total", limit="quota") == 1


def test_without_a_quota_nothing_is_refused(services: Services, upstream: CognitoUpstream, clock: FakeClock) -> None:
    service = services.start(upstream.url, clock, requests_per_second=0)
    for number in range(100):
        service.call(GET, token_request(f"user-{number}"))
    assert len(upstream.requests) == 100
