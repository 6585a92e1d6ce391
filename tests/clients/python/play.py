"""Plays a conformance case with a client."""

import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any

import httpx
import jwt
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from tests.clients import cases
from tests.clients.cases import Case, ExpectedError
from tests.clients.conductor import Harness
from tests.clients.matching import expanded, mismatch
from tests.clients.python.facades import TIMEOUT, Facade
from tests.fakes.clock import FakeClock

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_client import (
    CachingPolicy,
    LookupResult,
    Token,
    TokendError,
    TokenRequest,
    downstream_code,
)
from tokend_client.verifier import TokenRejected, TokenVerifier

GET_TOKEN = "GetOpenIdTokenForDeveloperIdentity"
ALGORITHMS = ["ES256", "RS256", "RS512"]

#: The required arguments of a client's method. The arguments of other methods are all fields of their requests.
_REQUIRED: Mapping[type[Message], Mapping[str, Any]] = {
    pb.GetOpenIdTokenForDeveloperIdentityRequest: {"identity_pool_id": "", "logins": {}},
    pb.LookupDeveloperIdentityRequest: {"identity_pool_id": ""},
}


class Player:
    """Plays the steps of one case, with a clock that the case moves.

    Args:
        case: The case.
        harness: The server.
        facade: The client.
    """

    def __init__(self, case: Case, harness: Harness, facade: type[Facade]) -> None:
        self._case = case
        self._harness = harness
        self._clock = FakeClock(now=time.time())
        self._make_facade = facade
        self._variables = {**harness.variables, "run": secrets.token_hex(8)}
        self._variables |= expanded(case.variables, self._variables)
        self._requests: dict[str, TokenRequest] = {}
        self._tokens: dict[str, str] = {}
        self._marks: dict[str, int] = {}
        self._seen_at: dict[str, float] = {}
        self._keys = jwt.PyJWKClient(f"{harness.issuer}/.well-known/jwks.json", cooldown_duration=0)

    def play(self) -> None:
        self._conduct(cases.Conduct("/reset"))
        policy = CachingPolicy(clock=self._clock)
        if self._case.refresh_timeout_seconds:
            policy = replace(policy, refresh_timeout=self._case.refresh_timeout_seconds)
        with self._make_facade(self._target, policy, max_users=self._case.max_users) as self._facade:
            for number, step in enumerate(self._case.steps, 1):
                try:
                    self._play(step)
                except (AssertionError, TokendError) as failed:
                    raise AssertionError(f"{self._case.name}, step {number}: {failed}") from failed

    @property
    def _target(self) -> str:
        match self._case.server:
            case "scripted":
                return self._harness.scripted
            case "replicas":
                return f"ipv4:{','.join(self._harness.replicas)}"
        return self._harness.endpoint

    def _play(self, step: cases.Step) -> None:  # noqa: C901 - a row for each kind of step
        match step:
            case cases.Call():
                self._call(step)
            case cases.AskToken():
                self._ask(step)
            case cases.Stampede():
                self._stampede(step)
            case cases.Invalidate():
                self._facade.source(self._requests[step.source]).invalidate(self._tokens[step.token])
            case cases.MoveWallClock():
                self._clock.move_wall_clock(step.seconds)
            case cases.Advance():
                self._advance(step)
            case cases.AwaitRefresh():
                self._facade.wait_for_refresh(self._requests[step.source])
                self._see(self._requests[step.source])
            case cases.Conduct():
                self._conduct(step)
            case cases.Verify():
                self._verify(step)
            case cases.Judge():
                self._judge(step)
            case cases.Mark():
                self._marks[step.name] = self._calls()
            case cases.CountCalls():
                self._count(step)

    def _call(self, step: cases.Call) -> None:
        message = self._message(step.operation, step.request)
        fields = _fields(message)
        if step.timeout_ms is not None:
            fields["timeout"] = step.timeout_ms / 1000
        operation = re.sub(r"(?<!^)([A-Z])", r"_\1", step.operation).lower()
        answer, error = _attempt(lambda: self._facade.call(operation, **fields))
        self._check_error(step.error, error)
        if error is None:
            response = _as_json(answer)
            assert mismatch(expanded(step.response, self._variables), response) is None, step.response
            self._variables |= {name: response[member] for name, member in step.remember.items()}

    def _ask(self, step: cases.AskToken) -> None:
        if step.request is not None:
            fields = _fields(self._message(GET_TOKEN, step.request))
            self._requests[step.source] = TokenRequest(**fields)
        request = self._requests[step.source]
        timeout = None if step.timeout_ms is None else step.timeout_ms / 1000
        acts = [lambda: _attempt(lambda: self._facade.ask(request, timeout))] * step.parallel
        outcomes = _at_once([*acts, self._close_when_called] if step.close else acts)
        for issued, error in filter(None, outcomes):
            self._check_error(step.error, error)
            if issued is not None:
                self._check_token(step, issued.value)
                self._seen_at.setdefault(issued.value, self._clock.monotonic())

    def _close_when_called(self) -> None:
        self._facade.calls.wait_for(1)
        self._facade.close_cache()

    def _stampede(self, step: cases.Stampede) -> None:
        requests = [self._numbered(step.request, number) for number in range(step.users)]
        futures = [self._facade.source(request).token_future() for request in requests]
        tokens = {future.result(TIMEOUT).value for future in futures}
        assert len(tokens) == step.users
        most = self._facade.calls.most_at_once
        assert most <= step.most_at_once, f"{most} calls at a time instead of {step.most_at_once}"

    def _numbered(self, request: Mapping[str, Any], number: int) -> TokenRequest:
        return TokenRequest(**_fields(self._message(GET_TOKEN, request, number=str(number))))

    def _see(self, request: TokenRequest) -> Token | None:
        snapshot = self._facade.source(request).snapshot
        if snapshot is not None:
            self._seen_at.setdefault(snapshot.value, self._clock.monotonic())
        return snapshot

    def _check_token(self, step: cases.AskToken, token: str) -> None:
        if step.other_than is not None:
            assert step.remember
            assert token != self._tokens[step.other_than], f"the token is {step.other_than}"
            self._tokens[step.remember] = token
        else:
            assert step.token
            assert self._tokens.setdefault(step.token, token) == token, f"the token is not {step.token}"

    def _check_error(self, expected: ExpectedError | None, error: TokendError | None) -> None:
        assert (error is None) == (expected is None), error or "no error came"
        if expected is None or error is None:
            return
        assert (error.code.name, error.reason) == (expected.code, expected.reason)
        assert expected.aws_error_code in {None, error.aws_error_code}, error.aws_error_code
        assert expected.aws_request_id in {None, bool(error.aws_request_id)}, error.aws_request_id
        assert expected.downstream in {None, downstream_code(error).name}, downstream_code(error)
        assert expected.retry_delay in {None, error.retry_delay is not None}, error.retry_delay
        if expected.violations is not None:
            assert {violation.field for violation in error.violations} == set(expected.violations)
        if expected.resource_type is not None:
            assert error.resource
            assert error.resource.type == expected.resource_type

    def _advance(self, step: cases.Advance) -> None:
        if step.source is None or step.to is None:
            self._clock.advance(step.seconds)
            return
        snapshot = self._see(self._requests[step.source])
        assert snapshot
        assert snapshot.issue_time
        age = (getattr(snapshot, step.to) - snapshot.issue_time).total_seconds()
        self._clock.advance(self._seen_at[snapshot.value] + age + step.seconds - self._clock.monotonic())

    def _conduct(self, step: cases.Conduct) -> None:
        with _http() as http:
            answer = http.post(self._harness.conductor + step.path)
        assert answer.status_code == httpx.codes.OK, answer.text
        if step.path == "/start":
            self._facade.wait_until_connected()

    def _verify(self, step: cases.Verify) -> None:
        token = self._tokens[step.token] if step.token in self._tokens else self._variables[step.token]
        expected = expanded(step.claims, self._variables)
        claims = jwt.decode(
            token,
            self._keys.get_signing_key_from_jwt(token),
            algorithms=ALGORITHMS,
            issuer=self._harness.issuer,
            options={"verify_aud": False},
        )
        assert mismatch(expected, claims) is None, claims

    def _judge(self, step: cases.Judge) -> None:
        with _http() as http:
            answer = http.post(f"{self._harness.conductor}/sign", json=expanded(step.token, self._variables))
        assert answer.status_code == httpx.codes.OK, answer.text
        pools = expanded(step.identity_pool_ids, self._variables)
        verifier = TokenVerifier(self._variables["login_issuer"], pools)
        if step.identity is None:
            with pytest.raises(TokenRejected):
                self._facade.verify(verifier, answer.text)
            return
        identity = self._facade.verify(verifier, answer.text)
        found = {
            "identityId": identity.identity_id,
            "identityPoolId": identity.identity_pool_id,
            "principalTags": identity.principal_tags,
        }
        assert found == expanded(step.identity, self._variables)

    def _count(self, step: cases.CountCalls) -> None:
        count = self._calls() - self._marks[step.since]
        assert step.exactly in {None, count}, count
        assert step.at_most is None or count <= step.at_most, count

    def _calls(self) -> int:
        return self._facade.calls.methods.count(GET_TOKEN)

    def _message(self, operation: str, request: Mapping[str, Any], **variables: str) -> Message:
        message: Message = getattr(pb, f"{operation}Request")()
        return json_format.ParseDict(expanded(request, {**self._variables, **variables}), message)


def _http() -> httpx.Client:
    return httpx.Client(trust_env=False, verify=False, timeout=180)


def _fields(message: Message) -> dict[str, Any]:
    fields = {descriptor.name: value for descriptor, value in message.ListFields()}
    if "token_duration" in fields:
        fields["token_duration"] = fields["token_duration"].ToTimedelta()
    # A case may omit required arguments: the service then reports the missing fields.
    required = _REQUIRED.get(type(message), dict.fromkeys(message.DESCRIPTOR.fields_by_name, ""))
    return {**required, **fields}


def _as_json(answer: object) -> dict[str, Any]:
    match answer:
        case Token():
            response: Message = pb.GetOpenIdTokenForDeveloperIdentityResponse(
                identity_id=answer.identity_id,
                token=answer.value,
                expire_time=Timestamp(seconds=int(answer.expire_time.astimezone(UTC).timestamp())),
                refresh_time=Timestamp(seconds=int(answer.refresh_time.astimezone(UTC).timestamp())),
            )
        case LookupResult():
            response = pb.LookupDeveloperIdentityResponse(
                identity_id=answer.identity_id,
                developer_user_identifier_list=answer.developer_user_identifiers,
                next_token=answer.next_token or "",
            )
        case str():
            response = pb.MergeDeveloperIdentitiesResponse(identity_id=answer)
        case _:
            response = pb.UnlinkDeveloperIdentityResponse()
    return json_format.MessageToDict(response)


def _attempt(act: Callable[[], Any]) -> tuple[Any, TokendError | None]:
    try:
        return act(), None
    except TokendError as error:
        return None, error


def _at_once(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    outcomes: list[Any] = []
    barrier = threading.Barrier(len(acts))

    def wait_and_act(act: Callable[[], Any]) -> None:
        barrier.wait()
        outcomes.append(act())

    threads = [threading.Thread(target=wait_and_act, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == len(acts)
    return outcomes
