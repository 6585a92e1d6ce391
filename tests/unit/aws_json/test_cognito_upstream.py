"""The scripted Cognito itself, with a boto3 client without retries."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from tests.fakes.clock import FakeClock
from tests.fakes.cognito_engine import ISSUER, identity_id_of
from tests.fakes.cognito_faults import AWS_FAILURES, GARBAGE, SERVER_FAULTS, THROTTLED
from tests.fakes.cognito_script import AwsFailure, Close, Drip, Hang, HangBeforeReading, NoHttp, Reset, Sent, Success
from tests.fakes.cognito_upstream import ACCESS_KEY, CognitoUpstream
from tests.fakes.scripted_upstream import TIMEOUT
from tests.support.local_engine import DEVELOPER, POOL, LocalEngineUnderTest, parts_of
from tests.support.threads import no_threads_left
from tests.unit.aws_json.boto import cognito_client

from tokend_server.model import Secret

NOW = 1_900_000_000

Call = Callable[..., dict[str, Any]]


def outcome_of(call: Callable[[], dict[str, Any]]) -> str:
    """Returns `Token` if there is one, else the name of the exception."""
    try:
        return next(name for name in call() if name == "Token")
    except (ClientError, ConnectionClosedError) as error:
        return type(error).__name__


def calling(client: Any) -> Call:  # noqa: ANN401
    def call(user: str = "alice", **members: Any) -> dict[str, Any]:  # noqa: ANN401
        response: dict[str, Any] = client.get_open_id_token_for_developer_identity(
            IdentityPoolId=POOL, Logins={DEVELOPER: user}, **members
        )
        return response

    return call


@pytest.fixture
def upstream() -> Iterator[CognitoUpstream]:
    with CognitoUpstream(FakeClock(now=NOW)) as running:
        yield running


@pytest.fixture
def client(upstream: CognitoUpstream) -> Iterator[Any]:
    with cognito_client(upstream.url) as made:
        yield made


@pytest.fixture
def call(client: Any) -> Call:  # noqa: ANN401
    return calling(client)


@pytest.fixture
def hasty(upstream: CognitoUpstream) -> Iterator[Call]:
    """Calls with a client timeout of a twentieth of a second."""
    with cognito_client(upstream.url, connect_timeout=0.05, read_timeout=0.05) as made:
        yield calling(made)


def test_tokens_have_the_format_of_cognito(call: Call) -> None:
    first, second = call(TokenDuration=3600), call()
    identity_id = identity_id_of(POOL, "alice")
    assert first["IdentityId"] == second["IdentityId"] == identity_id != call("bob")["IdentityId"]
    header, claims = parts_of(Secret(first["Token"]))
    assert header == {"kid": "us-east-1-9", "typ": "JWS", "alg": "RS512"}
    assert list(claims) == ["sub", "aud", "amr", "iss", "exp", "iat"]
    assert (claims["sub"], claims["aud"], claims["iss"]) == (identity_id, POOL, ISSUER)
    assert (claims["iat"], claims["exp"]) == (NOW, NOW + 3600)
    assert first["Token"] != second["Token"]


def test_every_operation_succeeds(client: Any) -> None:  # noqa: ANN401
    alice, bob = identity_id_of(POOL, "alice"), identity_id_of(POOL, "bob")
    found = client.lookup_developer_identity(IdentityPoolId=POOL, DeveloperUserIdentifier="alice")
    assert (found["IdentityId"], found["DeveloperUserIdentifierList"]) == (alice, ["alice"])
    merged = client.merge_developer_identities(
        IdentityPoolId=POOL,
        DeveloperProviderName=DEVELOPER,
        SourceUserIdentifier="alice",
        DestinationUserIdentifier="bob",
    )
    assert merged["IdentityId"] == bob
    unlinked = client.unlink_developer_identity(
        IdentityPoolId=POOL, IdentityId=bob, DeveloperProviderName=DEVELOPER, DeveloperUserIdentifier="alice"
    )
    assert set(unlinked) == {"ResponseMetadata"}


def test_received_requests_are_recorded(call: Call, client: Any, upstream: CognitoUpstream) -> None:  # noqa: ANN401
    call(TokenDuration=60)
    client.lookup_developer_identity(IdentityPoolId=POOL, DeveloperUserIdentifier="alice")
    first, second = upstream.requests
    assert first.operation == "GetOpenIdTokenForDeveloperIdentity"
    assert first.body == {"IdentityPoolId": POOL, "Logins": {DEVELOPER: "alice"}, "TokenDuration": 60}
    assert first.headers["host"] == upstream.url.removeprefix("http://")
    assert f"Credential={ACCESS_KEY.aws_access_key_id}/" in first.headers["authorization"]
    assert (second.operation, second.connection) == ("LookupDeveloperIdentity", first.connection)


def test_a_local_engine_can_handle_the_calls(tmp_path: Path) -> None:
    local = LocalEngineUnderTest(tmp_path)
    with CognitoUpstream(engines={POOL: local.engine}) as upstream, cognito_client(upstream.url) as client:
        identity_id = calling(client)("alice")["IdentityId"]
        assert local.users_of(identity_id) == {"alice"}
    local.close()


def test_a_signature_is_needed(upstream: CognitoUpstream) -> None:
    wrong = ACCESS_KEY._replace(aws_secret_access_key="wrong")
    with cognito_client(upstream.url, wrong) as client:
        for script in ([Success()], [THROTTLED]):
            upstream.script(script)
            with pytest.raises(ClientError, match="InvalidSignatureException"):
                calling(client)()


def test_a_session_token_can_be_required() -> None:
    key = ACCESS_KEY._replace(aws_session_token="session")
    with CognitoUpstream(access_key=key) as upstream:
        with cognito_client(upstream.url, key) as client:
            assert calling(client)()["Token"]
        with cognito_client(upstream.url) as client, pytest.raises(ClientError, match="UnrecognizedClientException"):
            calling(client)()


def test_the_default_step_follows_the_scripted_steps(call: Call, upstream: CognitoUpstream) -> None:
    upstream.always(AwsFailure("NotAuthorizedException", "always"))
    upstream.script([THROTTLED, Reset(), Success()])
    assert [outcome_of(call) for _ in range(5)] == [
        "TooManyRequestsException",
        "ConnectionClosedError",
        "Token",
        "NotAuthorizedException",
        "NotAuthorizedException",
    ]


@pytest.mark.parametrize("code", AWS_FAILURES)
def test_an_aws_error_is_an_exception_of_its_code(code: str, call: Call, upstream: CognitoUpstream) -> None:
    failure = AWS_FAILURES[code]
    upstream.script([failure])
    with pytest.raises(ClientError) as raised:
        call()
    assert raised.value.response["Error"] == {"Code": code, "Message": failure.message}
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == failure.status
    assert "Token" in call()
    assert {each.connection for each in upstream.requests} == {1}


@pytest.mark.parametrize("name", SERVER_FAULTS)
def test_a_fault_of_a_server_has_its_status(name: str, call: Call, upstream: CognitoUpstream) -> None:
    upstream.script([SERVER_FAULTS[name]])
    status = name.partition(" ")[0]
    with pytest.raises(ClientError) as raised:
        call()
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == int(status)
    expected = "InternalErrorException" if name.endswith("of AWS") else status
    assert raised.value.response["Error"]["Code"] == expected


BROKEN_CONNECTIONS: dict[str, Any] = {
    **{f"reset after {sent.name}": Reset(sent) for sent in Sent},
    "closed after NOTHING": Close(),
    "no HTTP": NoHttp(),
    "reset of an error": Reset(Sent.HALF_OF_BODY, THROTTLED),
}


@pytest.mark.parametrize("name", BROKEN_CONNECTIONS)
def test_a_connection_that_breaks_is_closed(name: str, call: Call, upstream: CognitoUpstream) -> None:
    upstream.script([BROKEN_CONNECTIONS[name]])
    with pytest.raises(ConnectionClosedError):
        call()
    assert "Token" in call()
    assert [each.connection for each in upstream.requests] == [1, 2]


@pytest.mark.parametrize("sent", [Sent.HALF_OF_HEAD, Sent.HALF_OF_BODY])
def test_botocore_parses_a_truncated_response_as_one_without_members(
    sent: Sent, call: Call, upstream: CognitoUpstream
) -> None:
    upstream.script([Close(sent)])
    assert set(call()) == {"ResponseMetadata"}


#: botocore's result for responses that Cognito never sends: the members, or its exception.
MEMBERS: dict[str, Any] = {
    "no HTTP": ConnectionClosedError,
    "no JSON": {},
    "half a JSON": {},
    "a list": AttributeError,
    "wrong types": {"IdentityId": 1, "Token": {"a": ["b"]}},
    "no members": {},
    "no token": {"IdentityId": "us-east-1:0"},
    "no identity id": {"Token": "a.b.c"},
    "a token that is no JWT": {"IdentityId": "us-east-1:0", "Token": "no-token"},
    "a token without claims": {"IdentityId": "us-east-1:0", "Token": "e30.e30.c2ln"},
    "huge": {"IdentityId": "us-east-1:0", "Token": "a" * (8 << 20)},
}


@pytest.mark.parametrize("name", GARBAGE)
def test_invalid_responses_have_the_expected_result_in_botocore(
    name: str, call: Call, upstream: CognitoUpstream
) -> None:
    upstream.script([GARBAGE[name]])
    expected = MEMBERS[name]
    if isinstance(expected, dict):
        members = call()
        assert members.pop("ResponseMetadata")["HTTPStatusCode"] == 200
        assert members == expected
    else:
        with pytest.raises(expected):
            call()


@pytest.mark.parametrize("step", [Hang(), HangBeforeReading(), Drip(TIMEOUT), Drip(TIMEOUT, Sent.HALF_OF_BODY)])
def test_a_client_times_out_while_the_response_is_delayed(
    step: Hang | HangBeforeReading | Drip, hasty: Call, upstream: CognitoUpstream
) -> None:
    upstream.script([step])
    with pytest.raises(ReadTimeoutError):
        hasty()
    upstream.wait_for_held(1)
    assert len(upstream.requests) == (0 if isinstance(step, HangBeforeReading) else 1)


@pytest.mark.parametrize(
    ("step", "outcome"),
    [
        (Hang(), "ConnectionClosedError"),
        (Hang(Success()), "Token"),
        (Hang(THROTTLED), "TooManyRequestsException"),
        (HangBeforeReading(), "ConnectionClosedError"),
        (Drip(TIMEOUT), "ConnectionClosedError"),
    ],
)
def test_a_hanging_step_continues_when_released(
    step: Hang | HangBeforeReading | Drip, outcome: str, call: Call, upstream: CognitoUpstream
) -> None:
    upstream.script([step])
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(outcome_of, call)
        upstream.wait_for_held(1)
        assert "Token" in call()
        assert not waiting.done()
        upstream.release()
        assert waiting.result() == outcome


@pytest.mark.parametrize("at_once", Sent)
def test_a_slowly_sent_response_is_received_completely(at_once: Sent, call: Call, upstream: CognitoUpstream) -> None:
    upstream.script([Drip(0.0001, at_once, AwsFailure("NotAuthorizedException", "drop by drop"))])
    with pytest.raises(ClientError, match="drop by drop"):
        call()


def test_a_closed_port_refuses_and_opens_again(call: Call, upstream: CognitoUpstream) -> None:
    call()
    upstream.stop_listening()
    for _ in range(2):
        with pytest.raises(EndpointConnectionError):
            call()
    upstream.listen_again()
    assert "Token" in call()
    assert [each.connection for each in upstream.requests] == [1, 2]


def test_connections_time_out_while_the_port_does_not_accept_them(
    hasty: Call, call: Call, upstream: CognitoUpstream
) -> None:
    call()
    upstream.stop_accepting()
    with pytest.raises(ConnectTimeoutError):
        hasty()
    assert "Token" in call()  # on the existing connection
    upstream.accept_again()
    with cognito_client(upstream.url) as client:
        assert "Token" in calling(client)()


def test_requests_can_be_waited_for(call: Call, upstream: CognitoUpstream) -> None:
    upstream.always(Hang(Success()))
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(call, user) for user in ("alice", "bob")]
        arrived = upstream.wait_for_requests(2)
        assert {each.body["Logins"][DEVELOPER] for each in arrived} == {"alice", "bob"}
        assert {each.connection for each in arrived} == {1, 2}
        upstream.wait_for_held(2)
        upstream.release()
        assert all(each.result()["Token"] for each in waiting)


@pytest.mark.parametrize("step", [Hang(), HangBeforeReading(), Drip(TIMEOUT, Sent.HALF_OF_BODY), Success()])
def test_exiting_the_context_manager_ends_all_threads_and_closes_the_port(
    step: Hang | HangBeforeReading | Drip | Success,
) -> None:
    with no_threads_left():
        with ThreadPoolExecutor(1) as threads, CognitoUpstream() as upstream, cognito_client(upstream.url) as client:
            upstream.script([step])
            call = threads.submit(calling(client))
            if isinstance(step, Success):
                call.result()
            else:
                upstream.wait_for_held(1)
            upstream.stop_accepting()
        with pytest.raises(EndpointConnectionError), cognito_client(upstream.url) as client:
            calling(client)()
