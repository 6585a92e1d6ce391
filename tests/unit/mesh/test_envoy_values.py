from typing import Any

import pytest
from tests.support.checks import JWT_AUTHN, check_request

from tokend_server.mesh.envoy_values import header_reader, metadata_reader


def claim(value: object, keys: list[str], namespace: str = JWT_AUTHN) -> str | None:
    return metadata_reader(namespace, keys)(check_request(claims={"claim": value}).attributes)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("alice", "alice"),
        ("Alice, née B", "Alice, née B"),
        (42, "42"),
        (-0.0, "0"),
        (2**53 - 1, str(2**53 - 1)),
        (True, "true"),
        (False, "false"),
        ("", None),
        (None, None),
        (1.5, None),
        (2**53, None),
        (float("nan"), None),
        (float("inf"), None),
        (["alice"], None),
        ({"sub": "alice"}, None),
    ],
)
def test_a_claim_is_converted_to_text_or_ignored(value: object, text: str | None) -> None:
    assert claim(value, ["payload", "claim"]) == text


@pytest.mark.parametrize(
    "keys", [["claim"], ["payload"], ["payload", "other"], ["payload", "claim", "sub"], ["a", "b", "c", "d"]]
)
def test_keys_of_missing_members_return_none(keys: list[str]) -> None:
    assert claim("alice", keys) is None


def test_keys_select_nested_members_and_may_contain_dots() -> None:
    assert claim({"https://acme.example/x": "acme"}, ["payload", "claim", "https://acme.example/x"]) == "acme"


def test_metadata_of_another_namespace_are_not_read() -> None:
    assert claim("alice", ["payload", "claim"], "envoy.filters.http.lua") is None


def test_reading_a_missing_claim_does_not_change_the_request() -> None:
    request = check_request()
    before = request.SerializeToString()
    assert metadata_reader(JWT_AUTHN, ["payload", "sub"])(request.attributes) is None
    assert request.SerializeToString() == before


@pytest.mark.parametrize(
    ("request_of_envoy", "value"),
    [
        (check_request(headers={"x-user": "alice"}), "alice"),
        (check_request(headers={"x-user": "alice,bob"}), None),
        (check_request(headers={"x-user": ""}), None),
        (check_request(headers={"x-other": "alice"}), None),
        (check_request(), None),
        (check_request(raw_headers=[("X-User", b"alice")]), "alice"),
        (check_request(raw_headers=[("x-user", "née".encode())]), "née"),
        (check_request(raw_headers=[("x-user", b"alice"), ("x-user", b"bob")]), None),
        (check_request(raw_headers=[("x-user", b"alice"), ("X-USER", b"")]), None),
        (check_request(raw_headers=[("x-user", b"al\xffice")]), None),
        (check_request(raw_headers=[("x-other", b"alice")]), None),
    ],
)
def test_a_header_is_used_only_if_it_has_one_value(request_of_envoy: Any, value: str | None) -> None:  # noqa: ANN401 - a message
    assert header_reader("x-user")(request_of_envoy.attributes) == value
