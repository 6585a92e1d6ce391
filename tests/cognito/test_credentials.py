"""Problems of the service's own credentials are never reported as the callers' fault, and end without a restart."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from tests.cognito.running_service import (
    COGNITO_POOL,
    GET,
    LOCAL_POOL,
    METHODS,
    RunningService,
    Services,
    code_of,
    metadata_of,
    retry_delay_of,
    token_request,
)
from tests.fakes.clock import FakeClock
from tests.fakes.cognito_script import AwsFailure, Success
from tests.fakes.cognito_upstream import ACCESS_KEY, AccessKey, CognitoUpstream
from tests.fakes.sts import Assumed, Refused, StsDouble
from tests.support.aws_environment import give_credentials, without_aws_settings
from tests.support.grpc_service import Failure

from tokend_server.engines.cognito.lasting_errors import LASTING_ERROR_SECONDS

ROLE = "arn:aws:iam::123456789012:role/tokend"
ROLE_KEY = AccessKey("ASIAIOSFODNN7EXAMPLE", "role-secret", "role-session")
BACKEND = f"cognito {COGNITO_POOL.partition(':')[0]}"
TEXT = "The service's own AWS credentials are missing or refused."
SHORT_DEADLINE = 0.5

REJECTIONS = (
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "ExpiredTokenException",
    "AccessDeniedException",
    "MissingAuthenticationTokenException",
    "IncompleteSignatureException",
    "OptInRequired",
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sts(aws_environment: pytest.MonkeyPatch) -> Iterator[StsDouble]:
    with StsDouble(Assumed(ROLE_KEY)) as running:
        aws_environment.setenv("AWS_ENDPOINT_URL_STS", running.url)
        yield running


def assert_rejected(failed: Failure) -> None:
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_CREDENTIALS_REJECTED")
    assert failed.text == TEXT
    assert retry_delay_of(failed) is None


def assert_not_ready(service: RunningService, advice: str) -> None:
    status, text = service.readyz()
    assert status == 503
    assert text.startswith(f"{BACKEND}: {TEXT} {advice}")
    assert len(text.splitlines()) == 1


def rejected_pools(service: RunningService) -> dict[str, float]:
    return {labels["pool"]: value for labels, value in service.metric_children("tokend_cognito_credentials_rejected")}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("code", REJECTIONS)
def test_a_rejection_by_aws_is_reported_in_one_text(
    services: Services, upstream: CognitoUpstream, method: str, code: str
) -> None:
    service = services.start(upstream.url)
    upstream.always(AwsFailure(code, f"arn:aws:iam::123456789012:user/x may not, {ACCESS_KEY.aws_access_key_id}"))
    failed = service.refused(method)
    assert_rejected(failed)
    assert metadata_of(failed)["aws_error_code"] == code
    assert len(upstream.requests) == 1
    assert rejected_pools(service) == {COGNITO_POOL: 1.0}


@pytest.mark.parametrize(
    "given",
    [
        ACCESS_KEY._replace(aws_access_key_id="AKIAUNKNOWN"),
        ACCESS_KEY._replace(aws_secret_access_key="another"),
        ACCESS_KEY._replace(aws_session_token="a-session"),
    ],
    ids=["key id", "secret", "session"],
)
def test_wrong_credentials_are_rejected_by_their_signature(
    services: Services, upstream: CognitoUpstream, given: AccessKey, aws_environment: pytest.MonkeyPatch
) -> None:
    give_credentials(aws_environment, given)
    assert_rejected(services.start(upstream.url).refused())


def test_a_wrong_clock_is_an_error_of_the_service(services: Services) -> None:
    with CognitoUpstream(signature_clock=FakeClock(now=0)) as upstream:
        assert_rejected(services.start(upstream.url).refused())


def test_missing_credentials_make_the_service_unready_until_they_are_provided(
    services: Services, upstream: CognitoUpstream, clock: FakeClock, aws_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_aws_settings(aws_environment, tmp_path)
    service = services.start(upstream.url, clock)
    for method in METHODS:
        assert_rejected(service.refused(method))
    assert rejected_pools(service) == {COGNITO_POOL: 1.0}
    assert_not_ready(service, "boto3's default chain found no credentials")
    assert upstream.requests == []

    give_credentials(aws_environment, ACCESS_KEY)
    clock.advance(LASTING_ERROR_SECONDS)
    assert service.readyz() == (200, "ok\n")
    assert service.get_token().token
    assert rejected_pools(service) == {COGNITO_POOL: 0.0}


def test_rejected_credentials_make_a_cognito_only_service_unready_until_a_call_succeeds(
    services: Services, upstream: CognitoUpstream, clock: FakeClock
) -> None:
    service = services.start(upstream.url, clock)
    assert service.readyz() == (200, "ok\n")
    upstream.always(AwsFailure("AccessDeniedException"))
    service.refused()
    assert_not_ready(service, "The IAM policy of the credentials lacks the action.")
    upstream.always(Success())
    service.get_token()
    assert service.readyz() == (200, "ok\n")
    assert rejected_pools(service) == {COGNITO_POOL: 0.0}


def test_a_service_with_a_local_pool_stays_ready_and_names_the_problem(
    services: Services, upstream: CognitoUpstream, clock: FakeClock
) -> None:
    service = services.start(upstream.url, clock, beside_local=True)
    upstream.always(AwsFailure("AccessDeniedException"))
    service.refused()
    status, text = service.readyz()
    assert status == 200
    assert text.startswith(f"ok\n{BACKEND}: {TEXT} The IAM policy of the credentials lacks the action.")
    assert service.get_token("bob", LOCAL_POOL).token
    assert rejected_pools(service) == {COGNITO_POOL: 1.0}


def test_a_service_without_calls_is_ready_again_after_a_while(
    services: Services, upstream: CognitoUpstream, clock: FakeClock
) -> None:
    service = services.start(upstream.url, clock)
    upstream.always(AwsFailure("AccessDeniedException"))
    service.refused()
    clock.advance(LASTING_ERROR_SECONDS - 1)
    assert service.readyz()[0] == 503
    clock.advance(1)
    assert service.readyz() == (200, "ok\n")
    service.refused()
    assert service.readyz()[0] == 503


@pytest.mark.parametrize(
    ("then", "ready"),
    [
        (AwsFailure("NotAuthorizedException"), True),
        (AwsFailure("ResourceNotFoundException"), True),
        (AwsFailure("TooManyRequestsException"), True),
        (AwsFailure("InternalErrorException", status=500), False),
    ],
    ids=lambda each: getattr(each, "code", each),
)
def test_any_response_to_valid_credentials_ends_the_rejected_state(
    services: Services, upstream: CognitoUpstream, clock: FakeClock, then: AwsFailure, *, ready: bool
) -> None:
    service = services.start(upstream.url, clock, max_attempts=1)
    upstream.script([AwsFailure("AccessDeniedException"), then])
    service.refused()
    service.refused()
    assert service.readyz()[0] == (200 if ready else 503)
    assert rejected_pools(service) == {COGNITO_POOL: 0.0 if ready else 1.0}


def test_calls_are_made_with_the_role(services: Services, sts: StsDouble) -> None:
    with CognitoUpstream(access_key=ROLE_KEY) as upstream:
        service = services.start(upstream.url, role_arn=ROLE)
        assert service.get_token("alice").token
        assert service.get_token("bob").token
    assert len(sts.requests) == 1


def test_a_role_is_assumed_again_while_the_service_runs(services: Services, sts: StsDouble) -> None:
    sts.answer = Assumed(AccessKey("ASIAFIRST", "first", "first"), life=30)
    with CognitoUpstream(access_key=ROLE_KEY) as upstream:
        service = services.start(upstream.url, role_arn=ROLE)
        assert_rejected(service.refused())
        sts.answer = Assumed(ROLE_KEY)
        assert service.get_token().token


@pytest.mark.parametrize(
    "answer", [Refused("AccessDenied"), Assumed(ROLE_KEY, life=-60)], ids=["refused", "expired on arrival"]
)
def test_a_role_that_cannot_be_assumed_is_an_error_of_the_service(
    services: Services, sts: StsDouble, answer: Refused | Assumed
) -> None:
    sts.answer = answer
    with CognitoUpstream(access_key=ROLE_KEY) as upstream:
        service = services.start(upstream.url, role_arn=ROLE, max_attempts=1)
        failed = service.refused()
        assert_rejected(failed)
        assert "Said of the role." not in str(failed)
        assert rejected_pools(service) == {COGNITO_POOL: 1.0}
        assert service.readyz()[0] == 503
        sts.answer = Assumed(ROLE_KEY)
        assert service.get_token().token
        assert service.readyz() == (200, "ok\n")


@pytest.mark.parametrize("answer", [Refused("Throttling", 400), Refused("ServiceUnavailable", 503)])
def test_a_transient_failure_to_assume_a_role_is_retryable(services: Services, sts: StsDouble, answer: Refused) -> None:
    sts.answer = answer
    with CognitoUpstream(access_key=ROLE_KEY) as upstream:
        service = services.start(upstream.url, role_arn=ROLE, max_attempts=1)
        failed = service.refused()
        assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")
        assert retry_delay_of(failed) == 1.0
        sts.answer = Assumed(ROLE_KEY)
        assert service.get_token().token


def test_calls_end_at_their_deadlines_while_sts_hangs(
    services: Services, upstream: CognitoUpstream, sts: StsDouble
) -> None:
    service = _with_a_role_to_be_renewed(services, upstream, sts)
    calls = [service.begin(GET, token_request(f"user-{number}"), SHORT_DEADLINE) for number in range(2)]
    assert [code_of(call) for call in calls] == [grpc.StatusCode.DEADLINE_EXCEEDED] * 2
    local = [service.begin(GET, token_request(f"user-{number}", LOCAL_POOL)) for number in range(2)]
    assert all(call.result().token for call in local)


def test_a_timeout_of_sts_is_not_blamed_on_cognito(
    services: Services, upstream: CognitoUpstream, sts: StsDouble
) -> None:
    sts.answer = None
    service = services.start(upstream.url, role_arn=ROLE, timeout_seconds=0.3)
    failed = service.refused()
    assert (failed.code, failed.reason) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")
    assert failed.text == "The service's own AWS credentials cannot be renewed now."


def test_a_call_ends_at_its_deadline_while_another_waits_for_sts(
    services: Services, upstream: CognitoUpstream, sts: StsDouble
) -> None:
    service = _with_a_role_to_be_renewed(services, upstream, sts)
    patient = service.begin(GET, token_request("patient"))
    sts.wait_for_requests(2)
    hurried = service.begin(GET, token_request("hurried"), SHORT_DEADLINE)
    assert code_of(hurried) == grpc.StatusCode.DEADLINE_EXCEEDED
    try:
        assert service.call(GET, token_request("bob", LOCAL_POOL), timeout=10).token
        assert not patient.done()
    finally:
        sts.end()


def test_an_outage_of_sts_is_no_outage_of_the_local_pool(
    services: Services, upstream: CognitoUpstream, sts: StsDouble
) -> None:
    sts.answer = Refused("ServiceUnavailable", 503)
    service = services.start(upstream.url, beside_local=True, role_arn=ROLE, max_attempts=1)
    assert service.refused().reason == "ENGINE_UNAVAILABLE"
    status, text = service.readyz()
    assert BACKEND in text
    assert status == 200


def test_a_service_starts_while_sts_hangs(services: Services, upstream: CognitoUpstream, sts: StsDouble) -> None:
    sts.answer = None
    with ThreadPoolExecutor(1) as starter:
        starting = starter.submit(
            services.start, upstream.url, beside_local=True, role_arn=ROLE, timeout_seconds=60, max_attempts=1
        )
        sts.wait_for_requests(1)
        try:
            assert starting.result(10).get_token("bob", LOCAL_POOL).token
        finally:
            sts.end()


def _with_a_role_to_be_renewed(services: Services, upstream: CognitoUpstream, sts: StsDouble) -> RunningService:
    """A service with two threads and timeouts longer than any test. STS no longer responds."""
    sts.answer = Assumed(ROLE_KEY, life=45)
    service = services.start(
        upstream.url, threads=2, beside_local=True, role_arn=ROLE, max_calls=2, timeout_seconds=60, max_attempts=1
    )
    sts.answer = None
    return service
