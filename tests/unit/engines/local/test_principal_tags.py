"""Which claims of providers' tokens become principal tags."""

from typing import Any

import pytest

from tokend_server.engines.local.principal_tags import tag_map, tags_of

IDP, OTHER = "idp.example", "other.example"
CLAIMS = {"sub": "u-1", "aud": "app", "dept": "sales"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"UseDefaults": True}, {"username": "sub", "client": "aud"}),
        ({"UseDefaults": True, "PrincipalTags": {"team": "dept"}}, {"username": "sub", "client": "aud"}),
        ({"UseDefaults": False, "PrincipalTags": {"team": "dept"}}, {"team": "dept"}),
        ({"PrincipalTags": {"team": "dept"}}, {"team": "dept"}),
        ({}, {}),
    ],
)
def test_the_tag_map_of_a_provider_has_the_defaults_or_its_own_tags(
    given: dict[str, Any], expected: dict[str, str]
) -> None:
    assert tag_map(given) == expected


def test_tags_are_of_the_providers_that_have_a_map() -> None:
    maps = {IDP: {"team": "dept", "user": "sub"}}
    assert tags_of(maps, [(IDP, CLAIMS)]) == {"team": "sales", "user": "u-1"}
    assert tags_of(maps, [(OTHER, CLAIMS)]) == {}
    assert tags_of(maps, []) == {}


def test_the_first_of_two_providers_sets_a_tag() -> None:
    maps = {IDP: {"team": "dept"}, OTHER: {"team": "sub", "other": "sub"}}
    assert tags_of(maps, [(IDP, CLAIMS), (OTHER, CLAIMS)]) == {"team": "sales", "other": "u-1"}
    assert tags_of(maps, [(IDP, {}), (OTHER, CLAIMS)])["team"] == "u-1"


@pytest.mark.parametrize(
    ("claim", "tag"),
    [
        ("", ""),
        ("a b.c:d/e=f+g-h@i_j", "a b.c:d/e=f+g-h@i_j"),
        ("\u00e4\u0661", "\u00e4\u0661"),
        ("x" * 256, "x" * 256),
        ("x" * 257, None),
        ("a;b", None),
        ("a\n", None),
        (7, "7"),
        (True, "true"),
        (False, "false"),
        (1.5, None),
        (None, None),
        (["a"], None),
        ({"a": "b"}, None),
    ],
)
def test_a_claim_is_a_tag_if_its_value_is_valid_for_tags(claim: object, tag: str | None) -> None:
    assert tags_of({IDP: {"t": "c"}}, [(IDP, {"c": claim})]) == ({} if tag is None else {"t": tag})
