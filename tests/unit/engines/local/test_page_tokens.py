"""Page tokens are valid only for the listing that they continue."""

from pathlib import Path

import pytest
from tests.support.local_engine import OTHER_POOL, POOL, LocalEngineUnderTest

from tokend_server.engines.local.administration import IdentityAdministration
from tokend_server.engines.local.paging import page_token, parse_page_token
from tokend_server.errors import InvalidParameter
from tokend_server.model import DeveloperIdentity, IdentityPage, LookupRequest, Secret

IDENTITY_ID = "eu-west-1:00000000-0000-4000-8000-000000000001"
USERS = ("u1", "u2", "u3")


def looked_up(local: LocalEngineUnderTest, next_token: str | None = None) -> DeveloperIdentity:
    """Returns a page with one user of the identity that all users share."""
    identity_id = local.identity_of(USERS[0])
    for user in USERS[1:]:
        local.identity_of(user, identity_id)
    request = LookupRequest(local.pool.identity_pool_id, identity_id, max_results=1, next_token=next_token)
    return local.engine.lookup_developer_identity(request, local.deadline)


def test_a_page_token_continues_a_lookup(local: LocalEngineUnderTest) -> None:
    first = looked_up(local)
    second = looked_up(local, first.next_token)
    assert first.developer_user_identifiers != second.developer_user_identifiers


@pytest.mark.parametrize("pool", [POOL, OTHER_POOL], ids=["another identity", "another pool"])
def test_a_page_token_is_valid_only_for_its_identity_and_pool(tmp_path: Path, pool: str) -> None:
    directory, other_directory = tmp_path / "one", tmp_path / "other"
    directory.mkdir()
    other_directory.mkdir()
    one = LocalEngineUnderTest(directory)
    other = LocalEngineUnderTest(other_directory, identity_pool_id=pool)
    try:
        other.identity_of("who takes the first id")
        foreign = looked_up(other).next_token
        with pytest.raises(InvalidParameter, match="NextToken is not one that this operation returned"):
            looked_up(one, foreign)
    finally:
        one.close()
        other.close()


def test_a_page_token_names_no_user(local: LocalEngineUnderTest) -> None:
    token = looked_up(local).next_token
    assert token
    assert not any(user in token for user in USERS)


def test_no_page_token_begins_with_a_hyphen() -> None:
    keys = [bytes([first, *range(31)]) for first in range(256)]
    tokens = [page_token(key, IDENTITY_ID) for key in keys]
    assert [parse_page_token(token, IDENTITY_ID) for token in tokens] == keys
    assert [token for token in tokens if token.startswith("-")] == []


def test_a_page_token_is_valid_after_its_user_is_unlinked(local: LocalEngineUnderTest) -> None:
    first = looked_up(local)
    (user,) = first.developer_user_identifiers
    local.unlink(first.identity_id, user.reveal())
    request = LookupRequest(POOL, first.identity_id, max_results=60, next_token=first.next_token)
    rest = local.engine.lookup_developer_identity(request, local.deadline).developer_user_identifiers
    assert {*rest, user} == {Secret(each) for each in USERS}


def listed(local: LocalEngineUnderTest, next_token: str | None = None, *, hide_disabled: bool = False) -> IdentityPage:
    return local.administration.list(max_results=1, next_token=next_token, hide_disabled=hide_disabled)


def test_a_page_token_of_identities_continues_their_list(local: LocalEngineUnderTest) -> None:
    ids = {local.identity_of("u1"), local.identity_of("u2")}
    first = listed(local)
    second = listed(local, first.next_token)
    assert {identity.identity_id for page in (first, second) for identity in page.identities} == ids
    assert second.next_token is None


def test_a_page_token_of_identities_is_valid_only_for_its_listing(local: LocalEngineUnderTest) -> None:
    identity_ids = [local.identity_of("u1"), local.identity_of("u2")]
    other = IdentityAdministration(OTHER_POOL, local.store, local.clock, lambda: "guest")
    token = listed(local).next_token
    assert token
    for foreign in (token[:-4], token[4:], f"{token[:4]}!{token[4:]}", "", "é", "====", identity_ids[0]):
        with pytest.raises(InvalidParameter):
            listed(local, foreign)
    with pytest.raises(InvalidParameter):
        listed(local, token, hide_disabled=True)
    with pytest.raises(InvalidParameter):
        local.engine.lookup_developer_identity(
            LookupRequest(POOL, identity_ids[0], max_results=1, next_token=token), local.deadline
        )
    with pytest.raises(InvalidParameter):
        other.list(max_results=1, next_token=token, hide_disabled=False)


@pytest.mark.parametrize("last", [b"", b"\0", b"eu-west-1:0a\0", b"\xff", b"eu-west-1:0a\n", b"eu-west-1:" + b"0" * 46])
def test_a_forged_page_token_is_rejected(local: LocalEngineUnderTest, last: bytes) -> None:
    local.identity_of("u1")
    made = page_token(last, "identities", local.pool.identity_pool_id, "False")
    with pytest.raises(InvalidParameter, match="NextToken is not one that this operation returned"):
        listed(local, made)
