"""Another call commits exactly between a call's read and its commit."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from tests.support.local_engine import DEVELOPER, LocalEngineUnderTest

from tokend_server.clock import Deadline
from tokend_server.engines.local.engine import MAX_ATTEMPTS, LocalEngine
from tokend_server.engines.local.store import Change, Reading
from tokend_server.engines.local.stores.sql.store import SqlStore
from tokend_server.errors import EngineUnavailable, LimitExceeded, ResourceConflict, ResourceNotFound
from tokend_server.model import IdentityOutcome, IssuedToken, Secret, TokenRequest, UnlinkRequest

GOOGLE = "accounts.google.com"


class InterruptedStore:
    """The real store, with another action right before each of the first commits."""

    def __init__(self, store: SqlStore, *interruptions: Callable[[], object]) -> None:
        self._store = store
        self._interruptions = list(interruptions)
        self.commits = 0
        self.reads = 0

    def read(self, *arguments: Any) -> Reading:  # noqa: ANN401 - as the store's
        self.reads += 1
        return self._store.read(*arguments)

    def commit(self, *changes: Change, deadline: Deadline) -> None:
        self.commits += 1
        if self._interruptions:
            self._interruptions.pop(0)()
        self._store.commit(*changes, deadline=deadline)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        return getattr(self._store, name)


def interrupted(
    local: LocalEngineUnderTest, *interruptions: Callable[[], object]
) -> tuple[LocalEngine, InterruptedStore]:
    store = InterruptedStore(local.store, *interruptions)
    return LocalEngine(local.pool, store, local.signer, local.clock, lambda: "aaaa", nullcontext), store


def issue(
    engine: LocalEngine, local: LocalEngineUnderTest, identity_id: str | None = None, **logins: str
) -> IssuedToken:
    given = {GOOGLE if name == "google" else DEVELOPER: Secret(value) for name, value in logins.items()}
    request = TokenRequest(local.pool.identity_pool_id, given, identity_id)
    return engine.get_open_id_token_for_developer_identity(request, local.deadline)


def test_a_user_without_an_identity_needs_no_second_read(local: LocalEngineUnderTest) -> None:
    engine, store = interrupted(local)
    assert issue(engine, local, user="u").outcome is IdentityOutcome.CREATED
    assert (store.reads, store.commits) == (0, 1)


def test_an_identity_that_is_named_or_gets_a_login_is_read(local: LocalEngineUnderTest) -> None:
    guest = local.guest()
    local.identity_of("u")
    engine, store = interrupted(local)
    assert issue(engine, local, guest, user="v").outcome is IdentityOutcome.LINKED
    assert issue(engine, local, user="u", google="user g").outcome is IdentityOutcome.LINKED
    assert (store.reads, store.commits) == (2, 2)


def test_a_first_call_that_loses_the_race_finds_the_identity(local: LocalEngineUnderTest) -> None:
    rival: list[str] = []
    engine, _ = interrupted(local, lambda: rival.append(local.identity_of("u")))
    issued = issue(engine, local, user="u")
    assert ([issued.identity_id], issued.outcome) == (rival, IdentityOutcome.RETRIEVED)


def test_concurrent_links_do_not_exceed_the_login_limit(local: LocalEngineUnderTest) -> None:
    identity_id = local.identity_of("user 1")
    for number in range(2, 20):
        local.issue(f"user {number}", identity_id)
    engine, _ = interrupted(local, lambda: local.issue("user 20", identity_id))
    with pytest.raises(LimitExceeded):
        issue(engine, local, identity_id, user="user 21")
    assert len(local.stored(identity_id).logins) == 20


def test_concurrent_links_to_two_users_of_a_public_provider_conflict(local: LocalEngineUnderTest) -> None:
    local.issue("u")
    engine, _ = interrupted(local, lambda: local.issue({DEVELOPER: "u", GOOGLE: "user first"}))
    with pytest.raises(ResourceConflict):
        issue(engine, local, user="u", google="user second")


@pytest.mark.parametrize("named", [True, False])
def test_a_concurrently_deleted_identity_is_not_found_or_replaced_by_a_new_one(
    local: LocalEngineUnderTest, *, named: bool
) -> None:
    identity_id = local.identity_of("u")
    engine, _ = interrupted(local, lambda: local.administration.delete(identity_id))
    if named:
        with pytest.raises(ResourceNotFound):
            issue(engine, local, identity_id, user="v")
    else:
        issued = issue(engine, local, user="u", google="user g")
        assert (issued.identity_id != identity_id, issued.outcome) == (True, IdentityOutcome.CREATED)


def test_a_user_who_is_merged_away_meanwhile_is_not_unlinked(local: LocalEngineUnderTest) -> None:
    identity_id = local.identity_of("u")
    local.issue("v")
    engine, _ = interrupted(local, lambda: local.merge("u", "v"))
    request = UnlinkRequest(local.pool.identity_pool_id, identity_id, DEVELOPER, Secret("u"))
    with pytest.raises(ResourceConflict):
        engine.unlink_developer_identity(request, local.deadline)
    assert local.identity_of("u") == local.identity_of("v")


def test_endless_interruption_ends_in_unavailable(local: LocalEngineUnderTest) -> None:
    identity_id = local.identity_of("u")

    def touch() -> None:
        read = local.stored(identity_id)
        local.store.commit(
            Change(read, replace(read, last_modified_date=read.last_modified_date + 1)), deadline=local.deadline
        )

    engine, store = interrupted(local, *[touch] * MAX_ATTEMPTS)
    with pytest.raises(EngineUnavailable):
        issue(engine, local, identity_id, user="v")
    assert store.commits == MAX_ATTEMPTS
    assert local.users_of(identity_id) == {"u"}
