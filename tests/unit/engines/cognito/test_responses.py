from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.cognito_engine import unsigned_jwt

from tokend_server.engines.cognito.responses import check_acknowledged, developer_identity, identity_id, issued_token
from tokend_server.errors import EngineMisconfigured
from tokend_server.model import DeveloperIdentity, Secret, TokenRequest

POOL = "us-east-1:0a"
IDENTITY = "us-east-1:0b"
REQUEST = TokenRequest(POOL, {"login.example.test": Secret("alice")}, token_duration=timedelta(seconds=600))
TOKEN = unsigned_jwt(IDENTITY, POOL, 1_800_000_000, 1_800_000_900, 1)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = ("IdentityId", "Token", "DeveloperUserIdentifierList", "NextToken")
RESPONSES = st.dictionaries(st.sampled_from(MEMBERS), JSON | st.just(TOKEN) | st.lists(st.text(max_size=3)))


def test_the_dates_of_a_token_are_read_from_its_claims() -> None:
    issued, issued_at = issued_token(REQUEST, {"IdentityId": IDENTITY, "Token": TOKEN})
    assert (issued.identity_id, issued.token) == (IDENTITY, Secret(TOKEN))
    assert (issued_at, issued.refresh_time, issued.expire_time) == (1_800_000_000, 1_800_000_300, 1_800_000_900)
    assert (issued.algorithm, issued.outcome) == ("RS512", None)


def test_a_token_without_iat_is_issued_its_duration_before_exp() -> None:
    no_iat = "eyJhbGciOiJSUzUxMiJ9.eyJleHAiOjE4MDAwMDA5MDB9.c2ln"
    issued, issued_at = issued_token(REQUEST, {"IdentityId": IDENTITY, "Token": no_iat})
    assert (issued_at, issued.refresh_time) == (1_800_000_300, 1_800_000_500)


def test_an_identity_is_parsed_with_its_users_and_next_token() -> None:
    response = {"IdentityId": IDENTITY, "DeveloperUserIdentifierList": ["a", "b"], "NextToken": "more"}
    assert developer_identity(response) == DeveloperIdentity(IDENTITY, (Secret("a"), Secret("b")), "more")


@pytest.mark.parametrize("rest", [{}, {"NextToken": None}, {"NextToken": ""}])
def test_an_identity_is_parsed_without_users_and_next_token(rest: dict[str, Any]) -> None:
    assert developer_identity({"IdentityId": IDENTITY, **rest}) == DeveloperIdentity(IDENTITY, ())


@pytest.mark.parametrize(
    "wrong",
    [{"IdentityId": None}, {"IdentityId": ""}, {"IdentityId": 1}, {"Token": None}, {"Token": ""}, {"Token": "a.b.c"}],
)
def test_an_invalid_token_response_is_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(EngineMisconfigured, match="could not be parsed"):
        issued_token(REQUEST, {"IdentityId": IDENTITY, "Token": TOKEN, **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"IdentityId": ["a"]},
        {"DeveloperUserIdentifierList": "ab"},
        {"DeveloperUserIdentifierList": ["a", 1]},
        {"DeveloperUserIdentifierList": ["a", "b\ud800"]},
        {"IdentityId": "eu-west-1:\udfff"},
        {"NextToken": "\ud83d"},
        {"DeveloperUserIdentifierList": None},
        {"NextToken": 1},
    ],
)
def test_an_invalid_identity_response_is_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(EngineMisconfigured):
        developer_identity({"IdentityId": IDENTITY, **wrong})


@given(response=RESPONSES)
def test_any_response_is_parsed_or_rejected(response: dict[str, Any]) -> None:
    for read in (lambda: issued_token(REQUEST, response), lambda: developer_identity(response)):
        with suppress(EngineMisconfigured):
            read()


def test_an_identity_id_is_needed() -> None:
    assert identity_id({"IdentityId": IDENTITY}) == IDENTITY
    with pytest.raises(EngineMisconfigured):
        identity_id({})


def test_an_empty_response_needs_a_request_id() -> None:
    check_acknowledged({"ResponseMetadata": {"RequestId": "r-1"}})
    others: list[dict[str, Any]] = [{}, {"ResponseMetadata": {}}, {"ResponseMetadata": {"RequestId": ""}}]
    for other in others:
        with pytest.raises(EngineMisconfigured):
            check_acknowledged(other)
