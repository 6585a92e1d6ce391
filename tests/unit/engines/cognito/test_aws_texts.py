"""Secrets are removed from AWS's texts, and validation errors are parsed from them."""

import re

import pytest
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from tokend.v1 import developer_identity_service_pb2 as contract
from tokend_server.engines.cognito.aws_texts import (
    FIELDS,
    MAX_TEXT,
    field_violations,
    resource_not_found,
    safe_text,
    truncated,
)
from tokend_server.errors import FieldViolation, ValidationFailed
from tokend_server.model import Operation, Secret
from tokend_server.rpc.operations import OPERATIONS
from tokend_server.rpc.validation import check_limits

POOL = "eu-west-1:3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f"
UNNAMED = (FieldViolation("", "Request must be within Cognito's limits"),)

#: Few letters, so that secrets overlap, repeat and contain each other; control characters, so that they are split.
LETTERS = "ab1-\n\x00\x85 ü"
LONG_SECRETS = st.lists(st.text(LETTERS, min_size=4, max_size=8), min_size=1, max_size=4)
ANY_TEXT = st.text(st.characters(exclude_characters="*"), max_size=200)


def cleaned(text: str, *secrets: str, ids: tuple[str, ...] = ()) -> str:
    return safe_text(text, [Secret(each) for each in secrets], ids)


@given(secrets=LONG_SECRETS, pieces=st.lists(st.one_of(st.text(LETTERS, max_size=20), st.integers(0, 3)), max_size=12))
def test_no_text_shows_a_secret(secrets: list[str], pieces: list[str | int]) -> None:
    text = "".join(each if isinstance(each, str) else secrets[each % len(secrets)] for each in pieces)
    shown = cleaned(text, *secrets)
    assert [secret for secret in secrets if re.sub(r"[\n\x00\x85]", " ", secret) in shown] == []


@given(secret=ANY_TEXT.filter(lambda text: len(text) >= 4), before=ANY_TEXT, after=ANY_TEXT, cut=st.booleans())
def test_no_secret_remains_in_any_text(secret: str, before: str, after: str, *, cut: bool) -> None:
    text = f"{before}{secret}{after}"
    shown = truncated(cleaned(text * 5 if cut else text, secret))
    assert secret not in shown
    assert len(shown) <= MAX_TEXT
    shown.encode()


@given(
    secret=ANY_TEXT.filter(lambda text: len(text) >= 4), text=ANY_TEXT, member=st.sampled_from(["logins", "x.y", "z"])
)
def test_no_validation_error_shows_a_secret(secret: str, text: str, member: str) -> None:
    violation = f"Value '{text}{secret}' at '{member}' failed to satisfy constraint: Member {secret}"
    found = field_violations(cleaned(f"1 validation error detected: {violation}", secret))
    own_words = {*FIELDS, UNNAMED[0].constraint}
    shown = [word for each in found for word in (each.field, each.constraint) if word not in own_words]
    assert [word for word in shown if secret in word] == []


@pytest.mark.parametrize(
    ("text", "secret", "shown"),
    [
        ("user bob is unknown", "bob", "user *** is unknown"),
        ("user 'bob' is unknown", "bob", "user '***' is unknown"),
        ("bobsled", "bob", "bobsled"),
        ("bob", "bob", "***"),
        ("bobsled", "bobs", "***led"),
        ("aaaaaa", "aaaa", "***"),
        ("a b", "", "a b"),
        ("us\ner-1", "us\ner-1", "***"),
        ("x\ty\x00z\u2028", "none", "x y z"),
        ("lone \ud800 surrogate", "none", "lone   surrogate"),
        ("token eyJraWQiOiJhYmMi is bad", "other", "token *** is bad"),
    ],
)
def test_secrets_and_what_looks_like_tokens_are_masked(text: str, secret: str, shown: str) -> None:
    assert cleaned(text, secret) == shown


def test_secrets_that_overlap_are_masked_as_one() -> None:
    assert cleaned("-abcdef-", "abcd", "cdef", "bc") == "-***-"


def test_an_id_of_the_request_stays_but_not_inside_a_secret() -> None:
    assert cleaned(f"Pool {POOL} of 1", "1", "3f1c", ids=(POOL,)) == f"Pool {POOL} of ***"
    assert cleaned(f"User {POOL}/bob", f"{POOL}/bob", ids=(POOL,)) == "User ***"


def test_a_long_text_is_cut() -> None:
    assert truncated("a" * MAX_TEXT) == "a" * MAX_TEXT
    assert truncated("a" * (MAX_TEXT + 1)) == "a" * (MAX_TEXT - 1) + "…"


def test_violations_are_named_as_in_the_contract_without_their_values() -> None:
    text = (
        "4 validation errors detected: "
        "Value 'x at 'nextToken' failed' at 'identityPoolId' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+; "
        "Value null at 'sourceUserIdentifier' failed to satisfy constraint: Member must not be null; "
        "Value at 'logins' failed to satisfy constraint: Map value must satisfy constraint: "
        "[Member must have length less than or equal to 50000, Member must have length greater than or equal to 1]; "
        "Value '{a=b}' at 'principalTags.a.member' failed to satisfy constraint: Map keys must satisfy constraint: "
        "[Member must have length less than or equal to 128]"
    )
    assert field_violations(text) == (
        FieldViolation("identity_pool_id", r"Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+"),
        FieldViolation("source_user_identifier", "Member must not be null"),
        FieldViolation(
            "logins.value",
            "Member must have length less than or equal to 50000, Member must have length greater than or equal to 1",
        ),
        FieldViolation("principal_tags.key", "Member must have length less than or equal to 128"),
    )


def test_a_violation_has_the_text_of_the_contracts_check() -> None:
    text = (
        "1 validation error detected: Value 'nowhere' at 'identityPoolId' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+"
    )
    request = contract.LookupDeveloperIdentityRequest(identity_pool_id="nowhere")
    with pytest.raises(ValidationFailed) as own:
        check_limits(OPERATIONS["LookupDeveloperIdentity"].limits, request)
    from_aws = ValidationFailed(field_violations(text))
    assert (from_aws.text, from_aws.violations) == (own.value.text, own.value.violations)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The request is not valid.",
        "1 validation error detected: Value 'x' at 'somethingElse' failed to satisfy constraint: Member must be y",
        "1 validation error detected: Value 'x' at 'logins' failed to satisfy constraint: x is bad",
        "1 validation error detected: Value 'x' at '***' failed to satisfy constraint: Member must be y",
        "at '" + "a" * 100_000,
    ],
)
def test_a_text_in_no_known_form_names_no_field(text: str) -> None:
    assert field_violations(text) == UNNAMED


def test_violations_are_bounded() -> None:
    one = "Value at 'logins' failed to satisfy constraint: Member must be " + "x" * 1000
    found = field_violations("; ".join([one] * 100))
    assert len(found) == 10
    assert {len(each.constraint) for each in found} == {160}


def test_the_fields_are_those_of_the_service_model_and_of_the_contract() -> None:
    model = Session().get_service_model("cognito-identity")
    members = {name for operation in Operation for name in model.operation_model(operation).input_shape.members}
    fields = {
        field
        for operation in Operation
        for field in contract.DESCRIPTOR.message_types_by_name[f"{operation}Request"].fields_by_name
    }
    assert {re.sub(r"\B(?=[A-Z])", "_", member).lower() for member in members} == fields == FIELDS


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        (f"IdentityPool '{POOL}' not found.", "IdentityPool", POOL),
        (f"No such Identity '{POOL}'", "Identity", POOL),
        ("Identity '***' not found.", "DeveloperUser", ""),
        ("Nothing found.", "DeveloperUser", ""),
    ],
)
def test_the_missing_resource_is_parsed_from_the_text(text: str, kind: str, name: str) -> None:
    error = resource_not_found(text)
    assert (error.text, error.resource_type, error.resource_name) == (text, kind, name)
