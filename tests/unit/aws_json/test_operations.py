"""The table of operations against AWS's own description of its service, and invalid bodies."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from google.protobuf.duration_pb2 import Duration
from tests.fakes.scripted_engine import IDENTITY_ID, ScriptedEngine
from tests.rpc.limits import Case, cases
from tests.support.grpc_service import METHODS, POOL_ID, POOL_IDS, VALID
from tests.unit.aws_json.requests import answer, call, error_of
from tests.unit.aws_json.shapes_of_aws import in_awss_model

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.aws_json.operations import OPERATIONS
from tokend_server.model import (
    DEFAULT_TOKEN_DURATION,
    DeveloperIdentity,
    LookupRequest,
    MergeRequest,
    Secret,
    TokenRequest,
    UnlinkRequest,
)

SERVICE = ServiceModel(Loader().load_service_model("cognito-identity", "service-2"))

#: One request of each operation with every member.
COMPLETE: dict[str, dict[str, Any]] = {
    "GetOpenIdTokenForDeveloperIdentity": {
        "IdentityPoolId": POOL_ID,
        "IdentityId": IDENTITY_ID,
        "Logins": {"login.example.test": "ålice", "accounts.google.com": "a.b.c"},
        "PrincipalTags": {"team": "blue"},
        "TokenDuration": 86_400,
    },
    "LookupDeveloperIdentity": {
        "IdentityPoolId": POOL_ID,
        "IdentityId": IDENTITY_ID,
        "DeveloperUserIdentifier": "alice",
        "MaxResults": 7,
        "NextToken": "page-1",
    },
    "MergeDeveloperIdentities": {
        "SourceUserIdentifier": "alice",
        "DestinationUserIdentifier": "bob",
        "DeveloperProviderName": "login.example.test",
        "IdentityPoolId": POOL_ID,
    },
    "UnlinkDeveloperIdentity": {
        "IdentityId": IDENTITY_ID,
        "IdentityPoolId": POOL_ID,
        "DeveloperProviderName": "login.example.test",
        "DeveloperUserIdentifier": "alice",
    },
}

REQUESTS: dict[str, TokenRequest | LookupRequest | MergeRequest | UnlinkRequest] = {
    "GetOpenIdTokenForDeveloperIdentity": TokenRequest(
        POOL_ID,
        {"login.example.test": Secret("ålice"), "accounts.google.com": Secret("a.b.c")},
        IDENTITY_ID,
        {"team": "blue"},
        timedelta(days=1),
    ),
    "LookupDeveloperIdentity": LookupRequest(POOL_ID, IDENTITY_ID, Secret("alice"), 7, "page-1"),
    "MergeDeveloperIdentities": MergeRequest(POOL_ID, "login.example.test", Secret("alice"), Secret("bob")),
    "UnlinkDeveloperIdentity": UnlinkRequest(POOL_ID, IDENTITY_ID, "login.example.test", Secret("alice")),
}

OUTPUTS: dict[str, dict[str, Any] | None] = {
    "GetOpenIdTokenForDeveloperIdentity": {"IdentityId": IDENTITY_ID, "Token": "header.claims.signature"},
    "LookupDeveloperIdentity": {
        "IdentityId": IDENTITY_ID,
        "DeveloperUserIdentifierList": ["alice", "alice-2"],
        "NextToken": "page-2",
    },
    "MergeDeveloperIdentities": {"IdentityId": IDENTITY_ID},
    "UnlinkDeveloperIdentity": None,
}


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine()


def members(document: dict[str, Any], **changes: object) -> dict[str, Any]:
    return {**document, **changes}


def test_the_operations_are_those_of_the_contract() -> None:
    contract = pb.DESCRIPTOR.services_by_name["DeveloperIdentityService"]
    assert set(OPERATIONS) == {method.name for method in contract.methods} == set(METHODS)


@pytest.mark.parametrize("operation", METHODS)
def test_members_equal_those_of_aws_and_the_contract(operation: str) -> None:
    shape = SERVICE.operation_model(operation).input_shape
    row = OPERATIONS[operation]
    assert row.members == {name: in_awss_model(member) for name, member in shape.members.items()}
    assert row.required == set(shape.required_members)
    assert set(COMPLETE[operation]) == set(shape.members)
    message = row.message(row.read(COMPLETE[operation]))
    assert type(message).DESCRIPTOR is VALID[operation].DESCRIPTOR
    assert len(message.ListFields()) == len(message.DESCRIPTOR.fields) == len(shape.members)


@pytest.mark.parametrize("operation", METHODS)
def test_every_member_reaches_the_engine(operation: str, engine: ScriptedEngine) -> None:
    response = answer({POOL_ID: engine}, call(operation, COMPLETE[operation]))
    assert response.status == 200
    assert engine.requests == [REQUESTS[operation]]


@pytest.mark.parametrize("operation", METHODS)
def test_outputs_have_the_members_of_aws(operation: str, engine: ScriptedEngine) -> None:
    response = answer({POOL_ID: engine}, call(operation, COMPLETE[operation]))
    expected = OUTPUTS[operation]
    if expected is None:
        assert response.body == b""
        assert SERVICE.operation_model(operation).output_shape is None
    else:
        assert json.loads(response.body) == expected
        assert set(expected) == set(SERVICE.operation_model(operation).output_shape.members)


def test_the_last_page_has_no_next_token(engine: ScriptedEngine) -> None:
    engine.answers["lookup"] = DeveloperIdentity(IDENTITY_ID, ())
    response = answer({POOL_ID: engine}, call("LookupDeveloperIdentity", COMPLETE["LookupDeveloperIdentity"]))
    assert json.loads(response.body) == {"IdentityId": IDENTITY_ID, "DeveloperUserIdentifierList": []}


@pytest.mark.parametrize("absent", [{}, {"IdentityId": None, "PrincipalTags": None, "TokenDuration": None}])
def test_null_members_count_as_omitted(absent: dict[str, None], engine: ScriptedEngine) -> None:
    document = {"IdentityPoolId": POOL_ID, "Logins": {"login.example.test": "alice", "other": None}} | absent
    assert answer({POOL_ID: engine}, call("GetOpenIdTokenForDeveloperIdentity", document)).status == 200
    expected = TokenRequest(POOL_ID, {"login.example.test": Secret("alice")}, None, {}, DEFAULT_TOKEN_DURATION)
    assert engine.requests == [expected]


@pytest.mark.parametrize("value", ["text", 1, 1.5, True, None, [1, {"a": None}], {"a": [{}]}])
def test_unknown_members_are_ignored(value: object, engine: ScriptedEngine) -> None:
    document = members(COMPLETE["MergeDeveloperIdentities"], Unknown=value, identityPoolId=value)
    assert answer({POOL_ID: engine}, call("MergeDeveloperIdentities", document)).status == 200
    assert engine.requests == [REQUESTS["MergeDeveloperIdentities"]]


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("IdentityPoolId", 1, "NUMBER_VALUE can not be converted to a String"),
        ("IdentityPoolId", 1.5, "NUMBER_VALUE can not be converted to a String"),
        ("IdentityPoolId", True, "BOOLEAN_VALUE can not be converted to a String"),
        ("IdentityPoolId", ["a"], "LIST_VALUE can not be converted to a String"),
        ("IdentityPoolId", {}, "STRUCTURE_VALUE can not be converted to a String"),
        ("Logins", "a", "STRING_VALUE can not be converted to a Map"),
        ("Logins", [["a", "b"]], "LIST_VALUE can not be converted to a Map"),
        ("Logins", {"a": 1}, "NUMBER_VALUE can not be converted to a String"),
        ("Logins", {"a": {"b": "c"}}, "STRUCTURE_VALUE can not be converted to a String"),
        ("Logins", {"a": [None]}, "LIST_VALUE can not be converted to a String"),
        ("Logins", {"a": "\ud83d"}, "A string contains a lone surrogate."),
        ("Logins", {"\ude00": "a"}, "A string contains a lone surrogate."),
        ("TokenDuration", "900", "STRING_VALUE can not be converted to a Long"),
        ("TokenDuration", 900.0, "NUMBER_VALUE can not be converted to a Long"),
        ("TokenDuration", True, "BOOLEAN_VALUE can not be converted to a Long"),
        ("TokenDuration", 2**63, "NUMBER_VALUE can not be converted to a Long"),
        ("TokenDuration", -(2**63) - 1, "NUMBER_VALUE can not be converted to a Long"),
        ("TokenDuration", 10**400, "NUMBER_VALUE can not be converted to a Long"),
    ],
)
def test_a_member_of_a_wrong_type_is_refused(member: str, value: object, message: str, engine: ScriptedEngine) -> None:
    document = members(COMPLETE["GetOpenIdTokenForDeveloperIdentity"], **{member: value})
    response = answer({POOL_ID: engine}, call("GetOpenIdTokenForDeveloperIdentity", document))
    assert error_of(response) == (400, "SerializationException", message)
    assert engine.asked == []


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, "7", 7.0, False])
def test_max_results_must_be_an_integer(value: object, engine: ScriptedEngine) -> None:
    document = members(COMPLETE["LookupDeveloperIdentity"], MaxResults=value)
    status, code, message = error_of(answer({POOL_ID: engine}, call("LookupDeveloperIdentity", document)))
    assert (status, code) == (400, "SerializationException")
    assert message.endswith("can not be converted to an Integer")


NO_JSON = "The request is not valid JSON."
NO_OBJECT = "Start of structure expected."
PAIR = '"IdentityPoolId":"r:0"'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", NO_JSON, id="nothing"),
        pytest.param(b"{", NO_JSON, id="half an object"),
        pytest.param(b"{} {}", NO_JSON, id="two objects"),
        pytest.param(b"{'a': 1}", NO_JSON, id="single quotes"),
        pytest.param(b'{"a": NaN}', NO_JSON, id="NaN"),
        pytest.param(b'{"a": -Infinity}', NO_JSON, id="Infinity"),
        pytest.param(b'{"a": 1,}', NO_JSON, id="a comma too many"),
        pytest.param(b'{"a": "\n"}', NO_JSON, id="a control character"),
        pytest.param(b'{"a": "\xff"}', NO_JSON, id="no UTF-8"),
        pytest.param(b'{"a": "\xed\xa0\xbd"}', NO_JSON, id="a surrogate in UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", NO_JSON, id="a byte order mark"),
        pytest.param("{}".encode("utf-16"), NO_JSON, id="UTF-16"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", NO_JSON, id="more digits than are read"),
        pytest.param(b'{"a":' * 100_000, NO_JSON, id="deep objects"),
        pytest.param(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", NO_JSON, id="deep lists"),
        pytest.param(f"{{{PAIR},{PAIR}}}".encode(), NO_JSON, id="a member twice"),
        pytest.param(b'{"Logins":{"a":"b","\\u0061":"c"}}', NO_JSON, id="a login twice"),
        pytest.param(b'{"a":null,"a":1}', NO_JSON, id="a member twice, once null"),
        pytest.param(b"null", NO_OBJECT, id="null"),
        pytest.param(b"[]", NO_OBJECT, id="a list"),
        pytest.param(b'"{}"', NO_OBJECT, id="a string"),
        pytest.param(b"1", NO_OBJECT, id="a number"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(body: bytes, message: str, engine: ScriptedEngine) -> None:
    response = answer({POOL_ID: engine}, call("LookupDeveloperIdentity", None, raw=body))
    assert error_of(response) == (400, "SerializationException", message)


def as_json(value: object) -> object:
    if isinstance(value, Duration):
        return value.seconds
    return dict(value) if isinstance(value, Mapping) else value


def member(field: str) -> str:
    return "".join(word.capitalize() for word in field.split("_"))


#: The contract's limits, except those that JSON cannot express (fractions of a second) or expresses otherwise (an
#: explicit zero).
CASES = [case for case in cases() if case.value != 0 and not (isinstance(case.value, Duration) and case.value.nanos)]


def case_name(case: Case) -> str:
    return f"{case.method}-{case.field}-{len(str(case.value))}"


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_limits_equal_those_of_the_contract(case: Case, engine: ScriptedEngine) -> None:
    valid = {member(field.name): as_json(value) for field, value in VALID[case.method].ListFields()}
    document = {**valid, member(case.field): as_json(case.value)}
    response = answer(dict.fromkeys(POOL_IDS, engine), call(case.method, document))
    if not case.violations:
        assert (response.status, len(engine.asked)) == (200, 1)
        return
    status, code, message = error_of(response)
    assert (status, code) == (400, "ValidationException")
    named = member(case.field)
    assert f"at '{named[0].lower()}{named[1:]}' failed to satisfy constraint: " in message
    assert engine.asked == []


@pytest.mark.parametrize("operation", METHODS)
def test_all_missing_members_are_reported_at_once(operation: str, engine: ScriptedEngine) -> None:
    required = SERVICE.operation_model(operation).input_shape.required_members
    status, code, message = error_of(answer({POOL_ID: engine}, call(operation, {})))
    assert (status, code) == (400, "ValidationException")
    for name in required:
        expected = f"Value null at '{name[0].lower()}{name[1:]}' failed to satisfy constraint: Member must not be null"
        assert expected in message
    assert message.startswith(f"{len(required)} validation error{'s' * (len(required) > 1)} detected: ")


FAILED = "failed to satisfy constraint:"
LENGTHS = "Member must have length less than or equal to {}, Member must have length greater than or equal to 1"
PATTERN = r"Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+"
KEYS, VALUES = "Map keys must satisfy constraint", "Map value must satisfy constraint"
NUMBER = "Member must have value"
TOKEN, LOOKUP = "GetOpenIdTokenForDeveloperIdentity", "LookupDeveloperIdentity"

#: Operation, member, value, and AWS's message.
TEXTS: list[tuple[str, str, object, tuple[str, ...]]] = [
    (TOKEN, "IdentityPoolId", None, (f"Value null at 'identityPoolId' {FAILED} Member must not be null",)),
    (TOKEN, "Logins", None, (f"Value null at 'logins' {FAILED} Member must not be null",)),
    (TOKEN, "IdentityPoolId", "zz", (f"Value 'zz' at 'identityPoolId' {FAILED} {PATTERN}",)),
    (
        TOKEN,
        "IdentityId",
        "",
        (
            f"Value '' at 'identityId' {FAILED} Member must have length greater than or equal to 1",
            f"Value '' at 'identityId' {FAILED} {PATTERN}",
        ),
    ),
    (
        TOKEN,
        "IdentityId",
        "r:" + 54 * "0",
        (f"Value 'r:{54 * '0'}' at 'identityId' {FAILED} Member must have length less than or equal to 55",),
    ),
    (
        TOKEN,
        "Logins",
        {"p": ""},
        (f"Value at 'logins' {FAILED} Map value must satisfy constraint: [{LENGTHS.format(50_000)}]",),
    ),
    (
        TOKEN,
        "Logins",
        {"": "s"},
        (f"Value at 'logins' {FAILED} Map keys must satisfy constraint: [{LENGTHS.format(128)}]",),
    ),
    (
        TOKEN,
        "Logins",
        {str(number): "s" for number in range(11)},
        (f"Value at 'logins' {FAILED} Member must have length less than or equal to 10",),
    ),
    (
        TOKEN,
        "PrincipalTags",
        {"team": "", "cost": "7"},
        (f"Value '{{team=, cost=7}}' at 'principalTags' {FAILED} {VALUES}: [{LENGTHS.format(256)}]",),
    ),
    (
        TOKEN,
        "TokenDuration",
        0,
        (f"Value '0' at 'tokenDuration' {FAILED} Member must have value greater than or equal to 1",),
    ),
    (
        TOKEN,
        "TokenDuration",
        86_401,
        (f"Value '86401' at 'tokenDuration' {FAILED} Member must have value less than or equal to 86400",),
    ),
    (
        LOOKUP,
        "MaxResults",
        61,
        (f"Value '61' at 'maxResults' {FAILED} Member must have value less than or equal to 60",),
    ),
    (
        LOOKUP,
        "DeveloperUserIdentifier",
        1025 * "s",
        (f"Value at 'developerUserIdentifier' {FAILED} Member must have length less than or equal to 1024",),
    ),
]


@pytest.mark.parametrize(("operation", "name", "value", "texts"), TEXTS)
def test_validation_errors_have_the_texts_of_cognito(
    operation: str, name: str, value: object, texts: tuple[str, ...], engine: ScriptedEngine
) -> None:
    document = members(COMPLETE[operation], **{name: value})
    count = len(texts)
    message = f"{count} validation error{'s' * (count > 1)} detected: {'; '.join(texts)}"
    assert error_of(answer({POOL_ID: engine}, call(operation, document))) == (400, "ValidationException", message)
    assert engine.asked == []


def test_a_map_of_logins_that_is_empty_is_refused(engine: ScriptedEngine) -> None:
    document = {"IdentityPoolId": POOL_ID, "Logins": {}}
    status, code, message = error_of(answer({POOL_ID: engine}, call(TOKEN, document)))
    assert (status, code) == (400, "ValidationException")
    assert message == f"1 validation error detected: Value at 'logins' {FAILED} Member must not be null"


def test_an_empty_value_is_reported_together_with_other_problems(engine: ScriptedEngine) -> None:
    document = {"IdentityPoolId": POOL_ID, "IdentityId": "", "MaxResults": 61}
    _status, _code, message = error_of(answer({POOL_ID: engine}, call("LookupDeveloperIdentity", document)))
    assert message.startswith("3 validation errors detected: ")
    assert "'maxResults'" in message
    assert "'identityId'" in message
