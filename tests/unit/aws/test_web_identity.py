"""Credentials of AWS STS for tokend's tokens: the request, the result of each response, and the deadline."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.fakes.cognito_upstream import AccessKey
from tests.fakes.sts import Answered, Assumed, Refused, StsDouble
from tests.support.aws_environment import without_aws_settings

from tokend_server import errors
from tokend_server.aws.web_identity import StsCredentials
from tokend_server.clock import Deadline, SystemClock
from tokend_server.model import Secret, WebIdentity

ROLE = "arn:aws:iam::123456789012:role/users"
CANARY = "canary-5e1c4b"
SHOWN = WebIdentity("eu-west-1:1", Secret(CANARY), {})
KEY = AccessKey("ASIAROLE", "role-secret", "role-token")
CLOCK = SystemClock()
NO_DEADLINE = Deadline(CLOCK)


@dataclass(frozen=True)
class Settings:
    """The fields of `ClientSettings` that the tests set."""

    endpoint_url: str
    profile: str | None = None
    role_arn: str | None = None
    timeout_seconds: float = 60.0
    connect_timeout_seconds: float = 60.0
    max_attempts: int = 1


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StsDouble]:
    without_aws_settings(monkeypatch, tmp_path)
    with StsDouble(Assumed(KEY)) as running:
        yield running


def source(sts: StsDouble, region: str | None = None, **settings: float) -> StsCredentials:
    return StsCredentials(Settings(sts.url, **settings), region, connections=2, clock=CLOCK)  # type: ignore[arg-type]


def test_a_role_is_assumed_with_the_token_and_without_own_credentials(sts: StsDouble) -> None:
    found = source(sts).credentials(SHOWN, ROLE, "eu-west-1", NO_DEADLINE)
    assert (found.access_key_id, found.secret_key, found.session_token) == (
        KEY.aws_access_key_id,
        Secret(KEY.aws_secret_access_key),
        Secret(KEY.aws_session_token or ""),
    )
    assert dt.timedelta(minutes=59) < dt.timedelta(seconds=found.expire_time - CLOCK.now()) <= dt.timedelta(hours=1)
    ((parameters, signature),) = sts.requests
    assert signature == ""
    assert parameters == {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "RoleSessionName": "CognitoIdentityCredentials",
        "WebIdentityToken": CANARY,
    }
    assert KEY.aws_secret_access_key not in repr(found)


@pytest.mark.parametrize(
    ("code", "error", "aws_error_code"),
    [
        ("AccessDenied", errors.InvalidIdentityPoolConfiguration, "InvalidIdentityPoolConfigurationException"),
        ("InvalidIdentityToken", errors.InvalidIdentityPoolConfiguration, "InvalidIdentityPoolConfigurationException"),
        ("IDPRejectedClaim", errors.InvalidIdentityPoolConfiguration, "InvalidIdentityPoolConfigurationException"),
        ("ValidationError", errors.InvalidIdentityPoolConfiguration, "InvalidIdentityPoolConfigurationException"),
        ("ExpiredTokenException", errors.NotAuthorized, "NotAuthorizedException"),
        ("IDPCommunicationError", errors.LoginProviderUnavailable, "ExternalServiceException"),
        ("PackedPolicyTooLarge", errors.InvalidParameter, "InvalidParameterException"),
        ("RegionDisabledException", errors.EngineMisconfigured, "InternalErrorException"),
        ("Throttling", errors.TooManyRequests, "TooManyRequestsException"),
        ("InternalFailure", errors.EngineUnavailable, "InternalErrorException"),
        ("SomethingNew", errors.EngineUnavailable, "InternalErrorException"),
    ],
)
def test_each_refusal_of_sts_is_an_error_of_the_contract(
    sts: StsDouble, code: str, error: type[errors.TokendError], aws_error_code: str
) -> None:
    sts.answer = Refused(code, message=CANARY)
    with pytest.raises(errors.TokendError) as refused:
        source(sts).credentials(SHOWN, ROLE, "eu-west-1", NO_DEADLINE)
    assert (type(refused.value), refused.value.aws_error_code) == (error, aws_error_code)
    assert CANARY not in f"{refused.value} {refused.value.advice}"


@pytest.mark.parametrize("region", ["us_east", "-a", "1"])
def test_a_pool_outside_aws_regions_needs_a_configured_sts_region(sts: StsDouble, region: str) -> None:
    """CreateIdentityPool may be signed for any Region."""
    with pytest.raises(errors.EngineMisconfigured) as refused:
        source(sts).credentials(SHOWN, ROLE, region, NO_DEADLINE)
    assert (str(refused.value), refused.value.advice) == (
        "AWS STS cannot be called in the Region of the pool.",
        "boto3 cannot use the Region, or the AWS configuration file. Set aws.credentials.region, or correct the file.",
    )
    assert source(sts, "eu-west-1").credentials(SHOWN, ROLE, region, NO_DEADLINE)


def test_transient_failures_are_retried(sts: StsDouble) -> None:
    sts.answer = Refused("IDPCommunicationError")
    with pytest.raises(errors.LoginProviderUnavailable):
        source(sts, max_attempts=2).credentials(SHOWN, ROLE, "eu-west-1", NO_DEADLINE)
    assert len(sts.requests) == 2
    sts.answer = Refused("AccessDenied")
    with pytest.raises(errors.InvalidIdentityPoolConfiguration):
        source(sts, max_attempts=2).credentials(SHOWN, ROLE, "eu-west-1", NO_DEADLINE)
    assert len(sts.requests) == 3


def test_no_call_waits_longer_than_its_caller_or_the_setting(sts: StsDouble) -> None:
    sts.answer = None
    with pytest.raises(errors.DeadlineExceeded):
        source(sts).credentials(SHOWN, ROLE, "eu-west-1", Deadline(CLOCK, CLOCK.monotonic() + 0.2))
    with pytest.raises(errors.EngineUnavailable, match="AWS STS did not answer in time"):
        source(sts, timeout_seconds=0.2).credentials(SHOWN, ROLE, "eu-west-1", NO_DEADLINE)


WHOLE = Assumed(KEY).answer("AssumeRoleWithWebIdentity")[1]


@pytest.mark.parametrize(
    "answer",
    [
        Refused("SomethingElse", status=200),
        Answered(200, WHOLE.replace("ASIAROLE", "")),
        Answered(200, WHOLE.replace("role-secret", "")),
        Answered(200, WHOLE.replace("role-token", "<b>role-token</b>")),
    ],
    ids=["no credentials", "no key", "no secret", "no text"],
)
def test_a_malformed_response_of_sts_is_a_configuration_error(sts: StsDouble, answer: Refused | Answered) -> None:
    sts.answer = answer
    with pytest.raises(errors.EngineMisconfigured, match="response cannot be parsed"):
        source(sts).credentials(SHOWN, ROLE, "eu-west-1", NO_DEADLINE)
