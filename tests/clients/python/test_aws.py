"""AWS credentials for tokens, from an STS on the loopback."""

from collections.abc import Iterator
from datetime import timedelta

import botocore.session
import pytest
from botocore.exceptions import ClientError
from tests.clients.python.sts import WebIdentitySts
from tests.fakes.clock import FakeClock

from tokend_client import ErrorReason, TokendError, TokenSource
from tokend_client.aws import web_identity_session
from tokend_client.testing import Failure, FakeTokendServer

ROLE = "arn:aws:iam::123456789012:role/reader"


@pytest.fixture
def sts(aws_settings: pytest.MonkeyPatch) -> Iterator[WebIdentitySts]:
    with WebIdentitySts(life=60) as running:  # so short that botocore renews them each time
        aws_settings.setenv("AWS_ENDPOINT_URL_STS", running.url)
        yield running


def access_key(session: botocore.session.Session) -> str:
    key: str = session.get_credentials().get_frozen_credentials().access_key
    return key


def test_each_role_is_assumed_with_a_token_that_can_be_used(
    source: TokenSource, clock: FakeClock, sts: WebIdentitySts
) -> None:
    session = web_identity_session(source, ROLE, role_session_name="service-a", duration=timedelta(minutes=15))
    session.get_credentials()
    assert sts.requests == []
    tokens = []
    for expected in ("AKIA1", "AKIA2"):
        assert access_key(session) == expected
        tokens.append(source.token().value)
        clock.advance(10_000)
    assert len(set(tokens)) == 2
    assert sts.requests == [
        {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": ROLE,
            "RoleSessionName": "service-a",
            "DurationSeconds": "900",
            "WebIdentityToken": token,
        }
        for token in tokens
    ]


@pytest.mark.parametrize("duration", [timedelta(seconds=899), timedelta(seconds=900.5), timedelta(days=-1)])
def test_a_duration_must_be_whole_seconds_and_at_least_900(source: TokenSource, duration: timedelta) -> None:
    with pytest.raises(ValueError, match=f"duration must be whole seconds, 900 or more: {duration}"):
        web_identity_session(source, ROLE, role_session_name="service-a", duration=duration)


@pytest.mark.parametrize("code", ["InvalidIdentityToken", "ExpiredTokenException", "IDPRejectedClaim"])
def test_a_token_that_sts_rejects_is_replaced_once(
    source: TokenSource, server: FakeTokendServer, sts: WebIdentitySts, code: str
) -> None:
    first = source.token().value
    sts.rejected = {first: code}
    assert access_key(web_identity_session(source, ROLE, role_session_name="service-a")) == "AKIA2"
    assert [request["WebIdentityToken"] for request in sts.requests] == [first, source.token().value]
    assert len(server.requests) == 2


def test_other_errors_of_sts_are_raised_to_the_caller(source: TokenSource, sts: WebIdentitySts) -> None:
    sts.rejected = {source.token().value: "AccessDenied"}
    with pytest.raises(ClientError, match="AccessDenied"):
        access_key(web_identity_session(source, ROLE, role_session_name="service-a"))
    assert len(sts.requests) == 1


def test_without_a_token_sts_is_not_called(source: TokenSource, server: FakeTokendServer, sts: WebIdentitySts) -> None:
    server.fail(Failure(ErrorReason.NOT_AUTHORIZED))
    with pytest.raises(TokendError) as caught:
        access_key(web_identity_session(source, ROLE, role_session_name="service-a"))
    assert caught.value.reason == ErrorReason.NOT_AUTHORIZED
    assert sts.requests == []
