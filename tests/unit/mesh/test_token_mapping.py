from typing import Any

import pytest
from tests.support.checks import check_request

from tokend_server.config import EMBEDDED_DEVELOPER_PROVIDER, EMBEDDED_POOL_ID, Config, ExtAuthzMapping
from tokend_server.mesh.token_mapping import NoTag, NoUser, TokenMapping, token_mapping
from tokend_server.mesh.wanted_token import WantedToken
from tokend_server.model import Secret


def mapping(**settings: Any) -> TokenMapping:  # noqa: ANN401 - whatever the settings take
    whole = {"identity_pool_id": EMBEDDED_POOL_ID, "user": {"metadata": "payload.sub"}, **settings}
    return token_mapping(Config(), "web", ExtAuthzMapping.model_validate(whole))


TAGS = {
    "tenant": {"metadata": "payload.tenant"},
    "team": {"header": "x-team", "trusted": True, "optional": True},
}


def test_attributes_of_envoy_become_the_requested_token() -> None:
    request = check_request(claims={"sub": "alice", "tenant": "acme"}, headers={"x-team": "blue"})
    mapped = mapping(principal_tags=TAGS, token_duration_seconds=300)
    assert mapped.wanted(mapped.values(request.attributes)) == WantedToken(
        EMBEDDED_POOL_ID,
        EMBEDDED_DEVELOPER_PROVIDER,
        Secret("alice"),
        {"tenant": "acme", "team": "blue"},
        300,
    )


def test_an_optional_tag_may_be_missing() -> None:
    request = check_request(claims={"sub": "alice", "tenant": "acme"})
    mapped = mapping(principal_tags=TAGS)
    assert mapped.wanted(mapped.values(request.attributes)).principal_tags == {"tenant": "acme"}


def test_a_required_tag_must_not_be_missing() -> None:
    request = check_request(claims={"sub": "alice"}, headers={"x-team": "blue"})
    with pytest.raises(NoTag):
        mapping(principal_tags=TAGS).values(request.attributes)


@pytest.mark.parametrize("claims", [None, {}, {"sub": ""}, {"sub": ["alice"]}])
def test_without_a_user_there_is_no_token(claims: dict[str, Any] | None) -> None:
    with pytest.raises(NoUser):
        mapping().values(check_request(claims=claims, headers={"x-user": "alice"}).attributes)


@pytest.mark.parametrize(("scheme", "value"), [("Bearer", "Bearer a.b.c"), ("", "a.b.c")])
def test_the_scheme_stands_before_the_token(scheme: str, value: str) -> None:
    assert mapping(scheme=scheme).header_value(Secret("a.b.c")) == value
