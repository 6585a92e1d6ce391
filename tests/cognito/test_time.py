"""No call outlives its deadline, in the service and at the caller."""

from collections.abc import Callable

import grpc
import pytest
from botocore.retries.standard import ExponentialBackoff
from tests.cognito.running_service import (
    GET,
    LOCAL_POOL,
    METHODS,
    TIMEOUT,
    RunningService,
    Services,
    code_of,
    retry_delay_of,
    token_request,
)
from tests.fakes.cognito_faults import THROTTLED
from tests.fakes.cognito_script import AwsFailure, Close, Drip, Hang, HangBeforeReading, Reset, Sent, Step, Success
from tests.fakes.cognito_upstream import CognitoUpstream

#: A short deadline of a caller. All other timeouts here are longer than a test's.
SHORT_DEADLINE = 0.5

#: Longer than a test's timeout.
FOR_EVER = 60.0

THREADS = 2

DELAYS: dict[str, Step] = {
    "hangs before it reads": HangBeforeReading(),
    "hangs before it answers": Hang(),
    "hangs in the headers": Drip(3600, Sent.HALF_OF_HEAD),
    "hangs in the body": Drip(3600, Sent.HALF_OF_BODY),
    "drips from the start": Drip(0.2),
    "drips in the headers": Drip(0.2, Sent.HALF_OF_HEAD),
    "drips in the body": Drip(0.2, Sent.HALF_OF_BODY),
    "drips an error": Drip(0.2, answer=AwsFailure("InternalErrorException", "x" * 1000, 500)),
}

FAILED = AwsFailure("InternalErrorException", "Internal error", 500)

Patient = Callable[[str], RunningService]
BackOff = Callable[[float], None]


@pytest.fixture
def patient(services: Services) -> Patient:
    """Starts a service whose own timeouts are longer than any test's."""
    return lambda url: services.start(
        url,
        threads=THREADS,
        beside_local=True,
        max_calls=THREADS,
        timeout_seconds=FOR_EVER,
        connect_timeout_seconds=FOR_EVER,
    )


@pytest.fixture
def back_off(monkeypatch: pytest.MonkeyPatch) -> BackOff:
    """Sets the time between two attempts, which is random in botocore."""
    return lambda seconds: monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: seconds)


def assert_threads_are_free(service: RunningService) -> None:
    """Checks that every thread of the server is free again, although the upstream hangs."""
    calls = [service.begin(GET, token_request(f"user-{number}", LOCAL_POOL)) for number in range(THREADS)]
    assert all(call.result().token for call in calls)


@pytest.mark.parametrize("delay", DELAYS)
def test_a_call_ends_at_its_deadline_wherever_the_upstream_stops(
    patient: Patient, upstream: CognitoUpstream, delay: str
) -> None:
    service = patient(upstream.url)
    service.get_token()
    upstream.always(DELAYS[delay])
    calls = [service.begin(GET, token_request(f"user-{number}"), SHORT_DEADLINE) for number in range(THREADS)]
    upstream.wait_for_held(THREADS)
    assert [code_of(call) for call in calls] == [grpc.StatusCode.DEADLINE_EXCEEDED] * THREADS
    assert_threads_are_free(service)
    upstream.wait_for_held(1)
    upstream.always(Success())
    assert service.get_token().token


def test_a_call_ends_at_its_deadline_when_its_connection_is_not_accepted(
    patient: Patient, upstream: CognitoUpstream
) -> None:
    service = patient(upstream.url)
    upstream.stop_accepting()
    calls = [service.begin(GET, token_request(f"user-{number}"), SHORT_DEADLINE) for number in range(THREADS)]
    assert [code_of(call) for call in calls] == [grpc.StatusCode.DEADLINE_EXCEEDED] * THREADS
    assert_threads_are_free(service)
    upstream.accept_again()
    assert service.get_token().token


@pytest.mark.parametrize("method", METHODS)
def test_every_operation_ends_at_its_deadline(patient: Patient, upstream: CognitoUpstream, method: str) -> None:
    service = patient(upstream.url)
    upstream.always(Hang())
    failed = service.refused(method, timeout=SHORT_DEADLINE)
    assert (failed.code, failed.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, None)
    assert_threads_are_free(service)


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("deadline", [None, TIMEOUT])
def test_the_services_own_timeout_ends_a_call_with_a_long_or_no_deadline(
    services: Services, upstream: CognitoUpstream, delay: str, deadline: float | None
) -> None:
    service = services.start(upstream.url, timeout_seconds=0.3)
    upstream.always(DELAYS[delay])
    failed = service.refused(timeout=deadline)
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")
    assert failed.text == "Cognito did not answer in time."
    assert retry_delay_of(failed) == 1.0


def test_a_connection_that_is_not_accepted_times_out(services: Services, upstream: CognitoUpstream) -> None:
    service = services.start(upstream.url, timeout_seconds=FOR_EVER, connect_timeout_seconds=0.1)
    upstream.stop_accepting()
    failed = service.refused()
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")
    assert upstream.requests == []


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("failures", [[THROTTLED], [FAILED], [FAILED, FAILED], [THROTTLED, FAILED]])
def test_transient_failures_are_retried(
    services: Services, upstream: CognitoUpstream, method: str, failures: list[Step], back_off: BackOff
) -> None:
    back_off(0)
    service = services.start(upstream.url)
    upstream.script(failures)
    service.call(method)
    assert len(upstream.requests) == len(failures) + 1


def test_botocores_own_back_off_retries_a_throttled_request(services: Services, upstream: CognitoUpstream) -> None:
    service = services.start(upstream.url)
    upstream.script([THROTTLED])
    service.get_token()
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("max_attempts", [1, 2, 4])
@pytest.mark.parametrize(
    ("failure", "reason"), [(THROTTLED, "TOO_MANY_REQUESTS"), (FAILED, "ENGINE_UNAVAILABLE")], ids=["throttle", "fault"]
)
def test_the_number_of_attempts_is_limited(  # noqa: PLR0913, PLR0917 - fixtures
    services: Services, upstream: CognitoUpstream, max_attempts: int, failure: Step, reason: str, back_off: BackOff
) -> None:
    back_off(0)
    service = services.start(upstream.url, max_attempts=max_attempts)
    upstream.always(failure)
    assert service.refused().reason == reason
    assert len(upstream.requests) == max_attempts


@pytest.mark.parametrize(
    "failure",
    [
        AwsFailure("NotAuthorizedException"),
        AwsFailure("LimitExceededException"),
        AwsFailure("ResourceNotFoundException"),
        AwsFailure("ValidationException"),
        AwsFailure("AccessDeniedException"),
    ],
    ids=lambda failure: failure.code,
)
def test_lasting_failures_are_not_retried(services: Services, upstream: CognitoUpstream, failure: Step) -> None:
    service = services.start(upstream.url)
    upstream.always(failure)
    service.refused()
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (THROTTLED, grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS"),
        (FAILED, grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE"),
    ],
    ids=["throttle", "fault"],
)
@pytest.mark.parametrize("limit", ["the caller's", "the service's"])
def test_no_retry_is_made_if_its_back_off_exceeds_the_remaining_time(  # noqa: PLR0913, PLR0917 - fixtures
    services: Services,
    upstream: CognitoUpstream,
    failure: Step,
    code: grpc.StatusCode,
    reason: str,
    limit: str,
    back_off: BackOff,
) -> None:
    back_off(20)
    service = services.start(upstream.url, timeout_seconds=10 if limit == "the service's" else FOR_EVER)
    upstream.always(failure)
    failed = service.refused(timeout=TIMEOUT if limit == "the service's" else 10)
    assert (failed.code, failed.reason) == (code, reason)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "end", [Close(), *map(Reset, Sent)], ids=["closed", *(f"reset after {sent.name}" for sent in Sent)]
)
def test_a_call_on_a_connection_that_ends_is_retried_on_a_new_connection(
    services: Services, upstream: CognitoUpstream, end: Step
) -> None:
    service = services.start(upstream.url)
    upstream.script([Success(), end])
    service.get_token("alice")
    service.get_token("bob")
    first, broken, second = upstream.requests
    assert first.connection == broken.connection != second.connection


def test_an_idle_connection_closed_by_the_upstream_is_replaced_without_a_retry(
    services: Services, upstream: CognitoUpstream
) -> None:
    service = services.start(upstream.url, max_attempts=1)
    service.get_token("alice")
    upstream.stop_listening()
    upstream.listen_again()
    service.get_token("bob")
    assert len(upstream.requests) == 2
