"""The table of operations against AWS's own description of its service, and bodies that are not what they should be."""

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

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.aws_json.document import integer, seconds, text, text_map
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

READERS = {"string": text, "map": text_map, "integer": integer, "long": seconds}

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
def test_members_are_awss_and_the_contracts(operation: str) -> None:
    shapes = SERVICE.operation_model(operation).input_shape.members
    assert OPERATIONS[operation].members == {name: READERS[shape.type_name] for name, shape in shapes.items()}
    assert set(COMPLETE[operation]) == set(shapes)
    message = OPERATIONS[operation].read(COMPLETE[operation])
    assert type(message) is type(VALID[operation])
    assert len(message.ListFields()) == len(message.DESCRIPTOR.fields) == len(shapes)


@pytest.mark.parametrize("operation", METHODS)
def test_every_member_reaches_the_engine(operation: str, engine: ScriptedEngine) -> None:
    response = answer({POOL_ID: engine}, call(operation, COMPLETE[operation]))
    assert response.status == 200
    assert engine.requests == [REQUESTS[operation]]


@pytest.mark.parametrize("operation", METHODS)
def test_outputs_are_awss(operation: str, engine: ScriptedEngine) -> None:
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
def test_null_is_not_given(absent: dict[str, None], engine: ScriptedEngine) -> None:
    document = {"IdentityPoolId": POOL_ID, "Logins": {"login.example.test": "alice", "other": None}} | absent
    assert answer({POOL_ID: engine}, call("GetOpenIdTokenForDeveloperIdentity", document)).status == 200
    expected = TokenRequest(POOL_ID, {"login.example.test": Secret("alice")}, None, {}, DEFAULT_TOKEN_DURATION)
    assert engine.requests == [expected]


@pytest.mark.parametrize("value", ["text", 1, 1.5, True, None, [1, {"a": None}], {"a": [{}]}])
def test_members_that_an_operation_does_not_have_are_passed_over(value: object, engine: ScriptedEngine) -> None:
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
        ("Logins", {"a": "\ud83d"}, "A string holds half a surrogate pair."),
        ("Logins", {"\ude00": "a"}, "A string holds half a surrogate pair."),
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
def test_a_number_of_results_is_an_integer(value: object, engine: ScriptedEngine) -> None:
    document = members(COMPLETE["LookupDeveloperIdentity"], MaxResults=value)
    status, code, message = error_of(answer({POOL_ID: engine}, call("LookupDeveloperIdentity", document)))
    assert (status, code) == (400, "SerializationException")
    assert message.endswith("can not be converted to an Integer")


NO_JSON = "The request is no valid JSON."
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


def in_camel_case(path: str) -> str:
    return path[0] + member(path)[1:]


#: The contract's limits, but for what JSON cannot say (parts of a second) or says otherwise (a zero is given).
CASES = [case for case in cases() if case.value != 0 and not (isinstance(case.value, Duration) and case.value.nanos)]


def case_name(case: Case) -> str:
    return f"{case.method}-{case.field}-{len(str(case.value))}"


@pytest.mark.parametrize("case", CASES, ids=case_name)
def test_limits_are_the_contracts(case: Case, engine: ScriptedEngine) -> None:
    valid = {member(field.name): as_json(value) for field, value in VALID[case.method].ListFields()}
    document = {**valid, member(case.field): as_json(case.value)}
    response = answer(dict.fromkeys(POOL_IDS, engine), call(case.method, document))
    if not case.violations:
        assert (response.status, len(engine.asked)) == (200, 1)
        return
    status, code, message = error_of(response)
    listed = "; ".join(
        f"Value at '{in_camel_case(path)}' failed to satisfy constraint: {constraint}"
        for path, constraint in case.violations
    )
    count = len(case.violations)
    assert (status, code) == (400, "ValidationException")
    assert message == f"{count} validation error{'s' * (count > 1)} detected: {listed}"
    assert engine.asked == []


@pytest.mark.parametrize("operation", METHODS)
def test_everything_wrong_is_named_at_once(operation: str, engine: ScriptedEngine) -> None:
    required = SERVICE.operation_model(operation).input_shape.required_members
    status, code, message = error_of(answer({POOL_ID: engine}, call(operation, {})))
    assert (status, code) == (400, "ValidationException")
    for name in required:
        expected = f"Value at '{name[0].lower()}{name[1:]}' failed to satisfy constraint: Member must not be null"
        assert expected in message
    assert message.startswith(f"{len(required)} validation error{'s' * (len(required) > 1)} detected: ")


@pytest.mark.parametrize(
    ("name", "value", "constraint"),
    [
        ("IdentityPoolId", "", "length greater than or equal to 1"),
        ("IdentityId", "", "length greater than or equal to 1"),
        ("DeveloperUserIdentifier", "", "length greater than or equal to 1"),
        ("NextToken", "", "length greater than or equal to 1"),
        ("MaxResults", 0, "value greater than or equal to 1"),
    ],
)
def test_an_empty_value_is_given_and_too_short(
    name: str, value: object, constraint: str, engine: ScriptedEngine
) -> None:
    document = members(COMPLETE["LookupDeveloperIdentity"], **{name: value})
    response = answer({POOL_ID: engine}, call("LookupDeveloperIdentity", document))
    path = name[0].lower() + name[1:]
    text = f"1 validation error detected: Value at '{path}' failed to satisfy constraint: Member must have {constraint}"
    assert error_of(response) == (400, "ValidationException", text)
    assert engine.asked == []


def test_an_empty_value_is_named_beside_what_else_is_wrong(engine: ScriptedEngine) -> None:
    document = {"IdentityPoolId": POOL_ID, "IdentityId": "", "MaxResults": 61}
    _status, _code, message = error_of(answer({POOL_ID: engine}, call("LookupDeveloperIdentity", document)))
    assert message.startswith("2 validation errors detected: ")
    assert "'maxResults'" in message
    assert "'identityId'" in message
