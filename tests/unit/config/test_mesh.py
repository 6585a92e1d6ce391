"""[ext_authz]: valid settings, and the problems of invalid ones."""

import pytest
from pydantic import ValidationError

from tokend_server.config import Config, ExtAuthzMapping
from tokend_server.config.pools import EMBEDDED_POOL_ID

POOL = EMBEDDED_POOL_ID
USER = {"metadata": "payload.sub"}


def problems(**members: object) -> list[str]:
    """Returns the problems of a mapping."""
    with pytest.raises(ValidationError) as caught:
        ExtAuthzMapping.model_validate({"identity_pool_id": POOL, "user": USER, **members})
    return [
        f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}"
        for each in caught.value.errors()
    ]


def mapping(**members: object) -> ExtAuthzMapping:
    return ExtAuthzMapping.model_validate({"identity_pool_id": POOL, "user": USER, **members})


def test_by_default_a_mapping_has_a_bearer_token_and_fails_closed() -> None:
    made = mapping()
    assert (made.header, made.scheme, made.failure_mode, made.default_for) == ("authorization", "Bearer", "closed", [])
    assert made.user.metadata == ["payload", "sub"]


def test_keys_with_dots_are_written_as_a_list() -> None:
    keys = ["payload", "https://acme.example/tenant"]
    assert mapping(principal_tags={"tenant": {"metadata": keys}}).principal_tags["tenant"].metadata == keys


def test_header_names_are_converted_to_lower_case() -> None:
    made = mapping(header="X-Token", user={"header": "X-User", "trusted": True})
    assert (made.header, made.user.header) == ("x-token", "x-user")


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"user": {}}, "user: set one of metadata and header"),
        ({"user": {"metadata": "sub", "header": "x-user", "trusted": True}}, "user: set one of metadata and header"),
        (
            {"user": {"header": "x-user"}},
            (
                "user: header: any client could set it: let a proxy remove the header of clients and set "
                "its own, and write trusted = true; or use metadata"
            ),
        ),
        (
            {"user": {"metadata": "sub", "trusted": True}},
            "user: trusted: is only for a header; metadata are Envoy's own",
        ),
        (
            {"user": {"header": ":authority", "trusted": True}},
            "user.header: must be the name of a header, such as x-user, and not a pseudo-header such as :authority",
        ),
        ({"header": "Host"}, "header: must not be host, which Envoy's filters cannot set"),
        (
            {"header": "x user"},
            "header: must be the name of a header, such as x-user, and not a pseudo-header such as :authority",
        ),
        (
            {"principal_tags": {"tenant": {"header": "Authorization", "trusted": True}}},
            ": principal_tags.tenant: header must not be the one for the token",
        ),
        ({"failure_mode": "ajar"}, "failure_mode: Input should be 'closed' or 'open'"),
        ({"scheme": "Bearer "}, "scheme: String should match pattern '^[A-Za-z]*$'"),
    ],
)
def test_an_invalid_mapping_is_rejected_with_its_problem(members: dict[str, object], problem: str) -> None:
    assert problems(**members) == [problem]


@pytest.mark.parametrize("keys", ["", "payload.", ".sub", "payload..sub", []])
def test_a_metadata_path_with_an_empty_key_is_rejected(keys: object) -> None:
    assert problems(user={"metadata": keys})


def test_an_unknown_pool_is_reported() -> None:
    mappings = {"web": {"identity_pool_id": "eu-west-1:0", "user": USER}}
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({"ext_authz": {"mappings": mappings}})
    assert "ext_authz.mappings.web.identity_pool_id: no such pool: eu-west-1:0" in str(caught.value)
