"""Login values, tokens and AWS keys appear nowhere, with any failure."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import pytest
from google.protobuf.message import Message
from tests.cognito.running_service import (
    COGNITO_POOL,
    GET,
    IDENTITY,
    LOOKUP,
    MERGE,
    METHODS,
    PROVIDER,
    UNLINK,
    RunningService,
    Services,
)
from tests.fakes.cognito_engine import unsigned_jwt
from tests.fakes.cognito_faults import AWS_FAILURES, GARBAGE, SERVER_FAULTS
from tests.fakes.cognito_script import AwsFailure, Body, Close, Drip, Hang, NoHttp, Reset, Sent, Step, Success
from tests.fakes.cognito_upstream import AccessKey, CognitoUpstream
from tests.support.aws_environment import give_credentials
from tests.support.grpc_service import insecure_channel
from tests.support.server_process import ServerProcess, write_config

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server import logs
from tokend_server.engines.cognito.faults import to_contract_error

KEY = AccessKey("AKIACANARY", "canary-secret-key", "canary-session-token")
USER, OTHER_USER, PUBLIC = "canary-user", "canary-other-user", "canary.public.login"

#: A token that faults expose, and its unique part.
TOKEN = unsigned_jwt(IDENTITY, "canary-audience", 1_800_000_000, 1_800_000_900, 4711)
CLAIMS = TOKEN.split(".")[1]

CANARIES = (KEY.aws_secret_access_key, "canary-session-token", USER, OTHER_USER, PUBLIC, CLAIMS)

#: Values that errors must not contain.
SECRETS_TEXT = " ".join((f"canonical request: x-amz-security-token:{KEY.aws_session_token}", TOKEN, *CANARIES))

REQUESTS: Mapping[str, Message] = {
    GET: pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=COGNITO_POOL,
        identity_id=IDENTITY,
        logins={PROVIDER: USER, "other.example.test": OTHER_USER, "accounts.google.com": PUBLIC},
    ),
    LOOKUP: pb.LookupDeveloperIdentityRequest(
        identity_pool_id=COGNITO_POOL, identity_id=IDENTITY, developer_user_identifier=USER
    ),
    MERGE: pb.MergeDeveloperIdentitiesRequest(
        identity_pool_id=COGNITO_POOL,
        developer_provider_name=PROVIDER,
        source_user_identifier=USER,
        destination_user_identifier=OTHER_USER,
    ),
    UNLINK: pb.UnlinkDeveloperIdentityRequest(
        identity_pool_id=COGNITO_POOL,
        identity_id=IDENTITY,
        developer_provider_name=PROVIDER,
        developer_user_identifier=USER,
    ),
}

#: The login values of each, which AWS's text may contain.
LOGINS: Mapping[str, Sequence[str]] = {
    GET: (USER, OTHER_USER, PUBLIC),
    LOOKUP: (USER,),
    MERGE: (USER, OTHER_USER),
    UNLINK: (USER,),
}

#: The errors with AWS's text.
ABOUT_THE_REQUEST = (
    "InvalidParameterException",
    "ValidationException",
    "NotAuthorizedException",
    "ResourceNotFoundException",
    "ResourceConflictException",
    "DeveloperUserAlreadyRegisteredException",
    "LimitExceededException",
)

WITH_TOKEN = json.dumps({"IdentityId": IDENTITY, "Token": TOKEN, "More": [USER]}).encode()

NOISY: Sequence[Step] = (
    *AWS_FAILURES.values(),
    *SERVER_FAULTS.values(),
    *GARBAGE.values(),
    *(AwsFailure(code, SECRETS_TEXT) for code in AWS_FAILURES if code not in ABOUT_THE_REQUEST),
    *(AwsFailure(code, SECRETS_TEXT) for code in ("InvalidSignatureException", "ExpiredTokenException", "Unheard")),
    AwsFailure(USER, USER),
    AwsFailure("InternalErrorException", SECRETS_TEXT, 500),
    *(end(sent) for end in (Reset, Close) for sent in Sent),
    Body(WITH_TOKEN[:-40]),
    Body(WITH_TOKEN, 500),
    Body(WITH_TOKEN, 400),
    Body(b"<html>" + SECRETS_TEXT.encode(), 502, "text/html"),
    NoHttp(SECRETS_TEXT.encode() + b"\r\n\r\n"),
    NoHttp(b"HTTP/1.1 200 OK\r\n" + WITH_TOKEN + b"\r\n\r\n"),
    NoHttp(b"HTTP/1.1 200 OK\r\n" + TOKEN.encode() + b"\r\n\r\n"),
    NoHttp(b"HTTP/1.1 " + SECRETS_TEXT.encode() + b"\r\n\r\n"),
    NoHttp(b"HTTP/1.1 200 OK\r\ncontent-length: " + USER.encode() + b"\r\n\r\n"),
    NoHttp(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + USER.encode() + b"\r\n"),
)
DELAYS: Sequence[Step] = (Hang(), Drip(0.2, Sent.HALF_OF_HEAD), Drip(0.2, Sent.HALF_OF_BODY))


class Observed(NamedTuple):
    """The results of callers.

    Attributes:
        refusals: The whole contents of the failures, as text.
        answers: How many calls succeeded.
        tokens: The unique part of each token.
    """

    refusals: list[str]
    answers: int
    tokens: list[str]


Call = Callable[[str, Message], Any]


def found(text: str, canaries: Sequence[str]) -> list[str]:
    """Returns the canaries in a text."""
    return [canary for canary in canaries if canary in text]


def errors_with_request_parts(logins: Sequence[str]) -> Iterator[Step]:
    """Errors that contain parts of the request."""
    for code in ABOUT_THE_REQUEST:
        yield AwsFailure(code, f"'{IDENTITY}' {' '.join(logins)} {':'.join(logins)} {TOKEN}.")
    for login in logins:
        constraint = f"Member must not be {login}"
        yield AwsFailure(
            "ValidationException", f"Value '{login}' at 'logins' failed to satisfy constraint: {constraint}"
        )


def go_through_every_fault(upstream: CognitoUpstream, call: Call) -> Observed:
    seen = Observed([], 0, [])
    for method in METHODS:
        for step in (*NOISY, *errors_with_request_parts(LOGINS[method])):
            upstream.script([step])
            seen = _called(seen, method, call)
    for step in (*DELAYS, Success()):
        upstream.always(step)
        seen = _called(seen, GET, call)
    return seen


def _called(seen: Observed, method: str, call: Call) -> Observed:
    try:
        answer = call(method, REQUESTS[method])
    except grpc.RpcError as error:
        trailers = [part for item in error.trailing_metadata() or () for part in (item.key, item.value)]
        return seen._replace(refusals=[*seen.refusals, f"{error} {error.details()} {trailers}"])
    tokens = [answer.token.split(".")[1]] if method == GET else []
    return seen._replace(answers=seen.answers + 1, tokens=seen.tokens + tokens)


@pytest.fixture
def canary_upstream(aws_environment: pytest.MonkeyPatch) -> Iterator[CognitoUpstream]:
    give_credentials(aws_environment, KEY)
    with CognitoUpstream(access_key=KEY) as running:
        yield running


@pytest.fixture
def everything_logged() -> Iterator[Callable[[str], None]]:
    """Logs like the service, at its lowest level, and restores logging at the end."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield lambda form: logs.configure(level="debug", as_json=form == "json")
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_secret_appears_in_this_process(  # noqa: PLR0913, PLR0917 - fixtures
    services: Services,
    canary_upstream: CognitoUpstream,
    form: str,
    everything_logged: Callable[[str], None],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors = _remember_errors(monkeypatch)
    everything_logged(form)
    service = services.start(
        canary_upstream.url,
        max_attempts=1,
        timeout_seconds=0.3,
        requests_per_second=0,
        reuse_tokens=True,
        reuse_max_tokens=1,
    )
    seen = go_through_every_fault(canary_upstream, service.call)
    written = "".join(capfd.readouterr())
    assert_everything_was_tried(seen, written)
    shown = [written, service.metrics_text(), service.readyz()[1], *seen.refusals, *errors]
    assert found("\n".join(shown), (*CANARIES, *seen.tokens)) == []
    assert any("***" in text for text in seen.refusals)


def test_no_secret_appears_in_a_separate_process(
    canary_upstream: CognitoUpstream, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    extra = f"""
[cognito]
endpoint_url = "{canary_upstream.url}"
max_attempts = 1
timeout_seconds = 0.3
requests_per_second = 0
[log]
level = "debug"
[pools."{COGNITO_POOL}"]
engine = "cognito"
developer_provider_name = "{PROVIDER}"
"""
    with ServerProcess(write_config(tmp_path, extra)) as server, insecure_channel(server.endpoint) as channel:
        stub = DeveloperIdentityServiceStub(channel)
        seen = go_through_every_fault(canary_upstream, lambda method, request: getattr(stub, method)(request))
        with httpx.Client(trust_env=False) as http:
            pages = [http.get(f"{server.ops}/{page}").text for page in ("metrics", "readyz")]
        server.stop()
        written = "".join((*server.output, *capfd.readouterr()))
    assert_everything_was_tried(seen, written)
    assert found("\n".join([written, *pages, *seen.refusals]), (*CANARIES, *seen.tokens)) == []


def assert_everything_was_tried(seen: Observed, written: str) -> None:
    """The search is effective: every fault occurred, and its permitted parts were logged."""
    assert len(seen.refusals) > 3 * len(NOISY)
    assert seen.tokens
    assert "call failed" in written
    assert "NOT_AUTHORIZED" in written
    assert found(written, [IDENTITY]) == [IDENTITY]


def test_the_search_finds_secrets_in_the_log(
    everything_logged: Callable[[str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    for form in ("json", "text"):
        everything_logged(form)
        logging.getLogger("part").debug("planted", extra={"login": USER, "more": [PUBLIC]})
        assert found("".join(capfd.readouterr()), CANARIES) == [USER, PUBLIC]


def test_the_search_finds_text_in_grpc_trailers(services: Services, canary_upstream: CognitoUpstream) -> None:
    service: RunningService = services.start(canary_upstream.url, max_attempts=1)
    canary_upstream.always(AwsFailure("NotAuthorizedException", "canary-that-is-no-login"))
    seen = _called(Observed([], 0, []), GET, service.call)
    assert found(seen.refusals[0].partition("grpc-status-details-bin")[2], ["canary-that-is-no-login"])


def _remember_errors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Records the whole contents of each error of the contract, including notes, at its creation."""
    errors: list[str] = []

    def remembering(*args: Any) -> Any:  # noqa: ANN401 - as it is
        known = to_contract_error(*args)
        errors.append(f"{known!r} {known} {vars(known) if known else ''}")
        return known

    monkeypatch.setattr("tokend_server.engines.cognito.engine.to_contract_error", remembering)
    return errors
