"""AssumeRoleWithWebIdentity with a local engine: its tokens, its roles, and STS's codes and texts."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import botocore.session
import pytest
from botocore.parsers import create_parser
from tests.support.local_engine import DEVELOPER, ISSUER, NOW, POOL, LocalEngineUnderTest
from tests.unit.aws_json.requests import REQUEST_ID
from tests.unit.aws_json.shapes_of_aws import in_awss_model

from tokend_server import errors
from tokend_server.access.authorization import Policy, PolicyRow
from tokend_server.aws_json.admission import Admission
from tokend_server.aws_json.assume_role import ASSUME_ROLE, RoleAssumption
from tokend_server.aws_json.calls import Calls
from tokend_server.aws_json.query import FORM_TYPE, is_query
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.sts import CODES, STS_CODES, StsService
from tokend_server.aws_json.wire import AwsResponse
from tokend_server.config import Pool
from tokend_server.config.key_times import CLOCK_SKEW
from tokend_server.engines.configured_pools import ConfiguredPools
from tokend_server.errors import TooManyRequests
from tokend_server.rpc.audit_entry import audit_entry
from tokend_server.rpc.call import current_call
from tokend_server.rpc.interceptors.layers import Behavior, Method
from tokend_server.rpc.status import STATUS

if TYPE_CHECKING:
    from tokend_server.access.audit.record import AuditEntry

USERS, GUESTS, BLUE = (f"arn:aws:iam::123456789012:role/{name}" for name in ("users", "app/guests", "blue"))
ROLES = {
    "authenticated": USERS,
    "unauthenticated": GUESTS,
    "rules": [{"claim": "aws:RequestTag/team", "match": "Equals", "value": "blue", "role_arn": BLUE}],
}
OPERATION = botocore.session.get_session().get_service_model("sts").operation_model("AssumeRoleWithWebIdentity")
DENIED = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
NO_JWT = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"


class Sts:
    """STS for the tokens of a local engine.

    Attributes:
        local: The local engine.
        counted: Operation and code of each call.
        audited: The audit entry of each call.
    """

    def __init__(self, local: LocalEngineUnderTest, *, allowed: bool = True, pools: str = POOL) -> None:
        self.local = local
        self.counted: list[tuple[str, str]] = []
        self.audited: list[AuditEntry] = []
        operations = frozenset({"AssumeRoleWithWebIdentity"} if allowed else {"GetId"})
        row = PolicyRow("tests", ("unsigned:**",), frozenset({pools}), operations, timedelta(minutes=15), frozenset())
        configured = ConfiguredPools(
            {POOL: Pool.model_validate({"developer_provider_name": DEVELOPER, "roles": ROLES})}
        )
        admission = Admission(Policy([row], [POOL]), local.clock)
        assumption = RoleAssumption(local.signer.key_set, ISSUER, configured, admission, local.clock)
        self.calls = Calls(
            StsService([(ASSUME_ROLE, assumption.assume_role)], [self._naming]),
            local.clock,
            count=lambda operation, code, _seconds: self.counted.append((operation, code)),
            new_id=lambda: REQUEST_ID,
        )

    def _naming(self, _method: Method, behavior: Behavior) -> Behavior:
        def named(request: AwsRequest, context: None) -> object:
            current_call().caller = "unsigned:192.0.2.1"
            try:
                return behavior(request, context)
            finally:
                self.audited.append(audit_entry(current_call(), NOW))

        return named

    def call(self, token: str, role_arn: str = USERS, **parameters: str) -> dict[str, Any]:
        """Returns the response as parsed by botocore."""
        given = {"RoleArn": role_arn, "RoleSessionName": "orders", "WebIdentityToken": token, **parameters}
        return self.send({name: value for name, value in given.items() if value})

    def send(self, parameters: Mapping[str, str], action: str = "AssumeRoleWithWebIdentity") -> dict[str, Any]:
        body = urlencode({"Action": action, "Version": "2011-06-15", **parameters})
        return parsed(self.calls.answer(form(body)))

    def refused(self, token: str, role_arn: str = USERS, **parameters: str) -> tuple[int, str, str]:
        """Returns the status, code and text of the error."""
        return error_of(self.call(token, role_arn, **parameters))


def form(body: str) -> AwsRequest:
    return AwsRequest("POST", "/", {"content-type": f"{FORM_TYPE}; charset=utf-8"}, body.encode())


def parsed(response: AwsResponse) -> dict[str, Any]:
    found: dict[str, Any] = create_parser("query").parse(
        {"headers": response.headers, "body": response.body, "status_code": response.status}, OPERATION.output_shape
    )
    assert response.headers["content-type"] == "text/xml"
    assert found["ResponseMetadata"]["RequestId"] == REQUEST_ID
    return found


def error_of(answered: Mapping[str, Any]) -> tuple[int, str, str]:
    assert answered["Error"]["Type"] == "Sender"
    return answered["ResponseMetadata"]["HTTPStatusCode"], answered["Error"]["Code"], answered["Error"]["Message"]


@pytest.fixture
def sts(local: LocalEngineUnderTest) -> Sts:
    return Sts(local)


def test_members_are_those_of_awss_model() -> None:
    assert ASSUME_ROLE.members == {name: in_awss_model(each) for name, each in OPERATION.input_shape.members.items()}
    assert ASSUME_ROLE.required == set(OPERATION.input_shape.required_members)


def test_every_error_has_a_code() -> None:
    assert CODES.keys() == STATUS.keys()
    of_the_model = {shape.metadata["error"]["code"] for shape in OPERATION.error_shapes}
    assert {"InvalidIdentityToken", "ExpiredTokenException", "MalformedPolicyDocument"} <= STS_CODES & of_the_model


def test_a_users_token_is_exchanged_for_credentials_of_the_authenticated_role(sts: Sts) -> None:
    issued = sts.local.issue("alice")
    answered = sts.call(issued.token.reveal())
    assert (answered["SubjectFromWebIdentityToken"], answered["Audience"]) == (issued.identity_id, POOL)
    assert answered["Provider"] == ISSUER
    assumed = answered["AssumedRoleUser"]
    assert assumed["Arn"] == "arn:aws:sts::123456789012:assumed-role/users/orders"
    assert re.fullmatch("AROA[A-Z2-7]{17}:orders", assumed["AssumedRoleId"])
    credentials = answered["Credentials"]
    assert re.fullmatch("ASIA[A-Z2-7]{16}", credentials["AccessKeyId"])
    assert (len(credentials["SecretAccessKey"]), bool(credentials["SessionToken"])) == (40, True)
    assert credentials["Expiration"].timestamp() == NOW + 3600
    assert sts.counted == [("AssumeRoleWithWebIdentity", "OK")]


@pytest.mark.parametrize("seconds", ["900", "43200"])
def test_credentials_are_valid_for_the_requested_duration(sts: Sts, seconds: str) -> None:
    credentials = sts.call(sts.local.issue("alice").token.reveal(), DurationSeconds=seconds)["Credentials"]
    assert credentials["Expiration"].timestamp() == NOW + int(seconds)


def test_a_get_request_is_handled_like_a_post_request(sts: Sts) -> None:
    query = urlencode(
        {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": USERS,
            "RoleSessionName": "orders",
            "WebIdentityToken": sts.local.issue("alice").token.reveal(),
        }
    )
    request = AwsRequest("GET", f"/?{query}", {}, b"")
    assert is_query(request)
    assert parsed(sts.calls.answer(request))["Credentials"]


def test_only_roles_that_trust_the_token_can_be_assumed(sts: Sts) -> None:
    user = sts.local.issue("alice").token.reveal()
    assert sts.call(user, BLUE)["Credentials"]
    for role in (GUESTS, "arn:aws:iam::123456789012:role/another"):
        assert sts.refused(user, role) == (403, "AccessDenied", DENIED)


def test_the_policy_denies_with_the_text_of_sts(local: LocalEngineUnderTest) -> None:
    token = local.issue("alice").token.reveal()
    assert Sts(local, allowed=False).refused(token) == (403, "AccessDenied", DENIED)
    other = Sts(local, pools=f"{POOL[:-1]}6")
    assert other.refused(token) == (403, "AccessDenied", DENIED)
    assert other.counted == [("AssumeRoleWithWebIdentity", "AccessDenied")]


def test_a_token_is_accepted_by_a_clock_that_is_behind_by_at_most_the_clock_skew(sts: Sts) -> None:
    token = sts.local.issue("alice").token.reveal()
    sts.local.clock.move_wall_clock(-CLOCK_SKEW)
    assert sts.call(token)["Credentials"]
    sts.local.clock.move_wall_clock(-1)
    assert sts.refused(token)[1:] == ("InvalidIdentityToken", "The claim iat of the token is in the future.")


def test_an_expired_token_is_refused_with_both_times(sts: Sts) -> None:
    issued = sts.local.issue("alice")
    sts.local.clock.advance(issued.expire_time - NOW - 1)
    assert sts.call(issued.token.reveal())["Credentials"]
    sts.local.clock.advance(1)
    now = issued.expire_time
    text = f"Token expired: current date/time {now} must be before the expiration date/time {now}"
    assert sts.refused(issued.token.reveal()) == (400, "ExpiredTokenException", text)
    sts.local.clock.advance(7200)
    assert sts.refused(issued.token.reveal())[1] == "ExpiredTokenException"


def forged(token: str, **claims: object) -> str:
    """Returns the token with other claims and the original signature."""
    header, payload, signature = token.split(".")
    read = json.loads(base64.urlsafe_b64decode(payload + "=="))
    written = base64.urlsafe_b64encode(json.dumps(read | claims).encode()).rstrip(b"=").decode()
    return f"{header}.{written}.{signature}"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda _token: "abcd", NO_JWT),
        (lambda token: token.rpartition(".")[0], NO_JWT),
        (
            lambda token: forged(token, iss="https://elsewhere.example"),
            "No OpenIDConnect provider found in your account for https://elsewhere.example",
        ),
        (
            lambda token: forged(token, iss="\ud800"),
            "No OpenIDConnect provider found in your account for ?",
        ),
        (lambda token: forged(token, sub="eu-west-1:1"), "The signature of the token is not valid."),
        (lambda token: token[:-8] + "AAAAAAAA", "The signature of the token is not valid."),
    ],
)
def test_an_invalid_or_foreign_token_is_refused(sts: Sts, change: Callable[[str], str], text: str) -> None:
    token = change(sts.local.issue("alice").token.reveal())
    assert sts.refused(token) == (400, "InvalidIdentityToken", text)


def test_a_token_of_an_unknown_pool_is_refused_for_its_audience(tmp_path: Path) -> None:
    local = LocalEngineUnderTest(tmp_path, identity_pool_id=f"{POOL[:-1]}6")
    refused = Sts(local, pools="*").refused(local.issue("alice").token.reveal())
    assert refused == (400, "InvalidIdentityToken", "Incorrect token audience")
    local.close()


def test_a_provider_id_is_refused_as_an_unknown_provider(sts: Sts) -> None:
    text = "No OpenIDConnect provider found in your account for www.amazon.com"
    token = sts.local.issue("alice").token.reveal()
    assert sts.refused(token, ProviderId="www.amazon.com") == (400, "InvalidIdentityToken", text)


CONSTRAINT = "failed to satisfy constraint: Member must"


@pytest.mark.parametrize(
    ("parameters", "code", "text"),
    [
        ({"role_arn": ""}, "ValidationError", f"Value null at 'roleArn' {CONSTRAINT} not be null"),
        (
            {"RoleSessionName": "a b"},
            "ValidationError",
            rf"Value 'a b' at 'roleSessionName' {CONSTRAINT} satisfy regular expression pattern: [\w+=,.@-]*",
        ),
        (
            {"RoleSessionName": "a"},
            "ValidationError",
            f"Value 'a' at 'roleSessionName' {CONSTRAINT} have length greater than or equal to 2",
        ),
        (
            {"DurationSeconds": "899"},
            "ValidationError",
            f"Value '899' at 'durationSeconds' {CONSTRAINT} have value greater than or equal to 900",
        ),
        (
            {"DurationSeconds": "43201"},
            "ValidationError",
            f"Value '43201' at 'durationSeconds' {CONSTRAINT} have value less than or equal to 43200",
        ),
        (
            {"PolicyArns.member.1.arn": "short"},
            "ValidationError",
            f"Value 'short' at 'policyArns.1.member.arn' {CONSTRAINT} have length greater than or equal to 20",
        ),
        ({"DurationSeconds": "an hour"}, "MalformedInput", "DurationSeconds is not an Integer."),
        ({"DurationSeconds": "9" * 10}, "MalformedInput", "DurationSeconds is not an Integer."),
        (
            {"PolicyArns.member.2.arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"},
            "MalformedInput",
            "PolicyArns.member must be numbered from 1.",
        ),
        ({"Policy": "{"}, "MalformedPolicyDocument", "The policy is not in the valid JSON format."),
        ({"Policy": "[]"}, "MalformedPolicyDocument", "The policy is not in the valid JSON format."),
        ({"role_arn": "role/of-twenty-letters"}, "ValidationError", "role/of-twenty-letters is invalid"),
        ({"role_arn": "arn:aws:iam::1:role/users"}, "ValidationError", "Request ARN is invalid"),
    ],
)
def test_invalid_parameters_are_named(sts: Sts, parameters: dict[str, str], code: str, text: str) -> None:
    refused = sts.refused("abcd", **parameters)
    assert refused[:2] == (400, code)
    assert refused[2].removeprefix("1 validation error detected: ") == text


def test_all_invalid_parameters_are_named_without_the_token(sts: Sts) -> None:
    _, _, text = sts.refused("t", DurationSeconds="1", RoleSessionName="\x01<&>")
    assert text.startswith("3 validation errors detected: Value '\ufffd<&>' at 'roleSessionName'")
    assert "Value at 'webIdentityToken' failed to satisfy constraint" in text


def test_session_policies_are_accepted(sts: Sts) -> None:
    arns = {"PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}
    token = sts.local.issue("alice").token.reveal()
    assert sts.call(token, Policy='{"Version": "2012-10-17"}', **arns)["Credentials"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("", 400, "MissingAction"),
        ("Version=2011-06-15", 400, "MissingAction"),
        ("Action=AssumeRole&Version=2011-06-15", 400, "InvalidAction"),
        ("Action=AssumeRoleWithWebIdentity", 400, "InvalidAction"),
        ("Action=AssumeRoleWithWebIdentity&Version=2011-06-14", 400, "InvalidAction"),
        ("Action=a&Action=b", 404, "MalformedQueryString"),
        ("Action", 404, "MalformedQueryString"),
        ("Action=%ff", 404, "MalformedQueryString"),
        ("Action=\u00e9", 404, "MalformedQueryString"),
        ("&".join(f"a{number}=" for number in range(300)), 404, "MalformedQueryString"),
    ],
)
def test_a_request_without_an_operation_is_rejected(sts: Sts, body: str, status: int, code: str) -> None:
    assert error_of(parsed(sts.calls.answer(form(body))))[:2] == (status, code)
    assert sts.counted == [("unknown", code)]


def envoy_request(token: str, accept: str = "application/json") -> AwsRequest:
    query = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleSessionName": "envoy",
        "RoleArn": USERS,
        "WebIdentityToken": token,
    }
    return AwsRequest("GET", f"/?{urlencode(query)}", {"host": "sts.local", "accept": accept}, b"")


def test_a_response_is_json_if_the_accept_header_requests_it(sts: Sts) -> None:
    issued = sts.local.issue("alice")
    answered = sts.calls.answer(envoy_request(issued.token.reveal()))
    assert (answered.status, answered.headers["content-type"]) == (200, "application/json")
    assert answered.headers["x-amzn-requestid"] == REQUEST_ID
    document = json.loads(answered.body)["AssumeRoleWithWebIdentityResponse"]
    assert document["ResponseMetadata"] == {"RequestId": REQUEST_ID}
    result = document["AssumeRoleWithWebIdentityResult"]
    in_xml = sts.call(issued.token.reveal(), RoleSessionName="envoy")
    del in_xml["ResponseMetadata"]
    expiration = result["Credentials"].pop("Expiration")
    assert (type(expiration), expiration) == (int, NOW + 3600)
    assert in_xml["Credentials"].pop("Expiration").timestamp() == expiration
    assert result == in_xml


def test_errors_are_json_if_the_accept_header_requests_it(sts: Sts) -> None:
    answered = sts.calls.answer(envoy_request("a.bc"))
    assert (answered.status, answered.headers["content-type"]) == (400, "application/json")
    fault = {"Type": "Sender", "Code": "InvalidIdentityToken", "Message": NO_JWT}
    assert json.loads(answered.body) == {"Error": fault, "RequestId": REQUEST_ID}


def test_an_issuer_that_is_no_unicode_is_refused_in_json_too(sts: Sts) -> None:
    answered = sts.calls.answer(envoy_request(forged(sts.local.issue("alice").token.reveal(), iss="a\udfffb")))
    fault = json.loads(answered.body)["Error"]
    assert (answered.status, fault["Code"]) == (400, "InvalidIdentityToken")
    assert fault["Message"] == "No OpenIDConnect provider found in your account for a?b"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "text/xml"),
        ("*/*", "text/xml"),
        ("text/html, */*;q=0.8", "text/xml"),
        ("text/xml, application/json", "text/xml"),
        ("application/jsonx", "text/xml"),
        ("Application/JSON; charset=utf-8", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("application/json,application/xml", "application/json"),
    ],
)
def test_the_first_known_media_type_of_the_accept_header_is_used(sts: Sts, accept: str, form: str) -> None:
    assert sts.calls.answer(envoy_request("a.b", accept)).headers["content-type"] == form


def test_an_early_refusal_has_the_code_and_text_of_sts(sts: Sts) -> None:
    refused = parsed(sts.calls.refuse(form(""), TooManyRequests("Too many calls at once.")))
    assert error_of(refused) == (400, "Throttling", "Rate exceeded")


def test_an_error_of_the_service_has_the_type_receiver(sts: Sts) -> None:
    answered = parsed(sts.calls.refuse(form(""), errors.EngineUnavailable("The store does not answer.")))
    assert (answered["Error"]["Type"], answered["Error"]["Code"]) == ("Receiver", "InternalFailure")
    assert answered["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_the_role_is_in_the_audit_log_and_no_secret(sts: Sts) -> None:
    issued = sts.local.issue("alice")
    credentials = sts.call(issued.token.reveal())["Credentials"]
    (entry,) = sts.audited
    result = entry.result
    assert (entry.method, result.role_arn, result.expire_time) == ("AssumeRoleWithWebIdentity", USERS, NOW + 3600)
    assert (entry.request.identity_pool_id, result.identity_id) == (POOL, issued.identity_id)
    for secret in (credentials["SecretAccessKey"], credentials["SessionToken"], issued.token.reveal()):
        assert secret not in repr(entry)
