"""Pools that are created through Cognito's own API, with two replicas on one store."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest
from tests.fakes.clock import FakeClock

from tokend_server.clock import Deadline
from tokend_server.config import Pool
from tokend_server.config.key_times import CLOCK_SKEW
from tokend_server.engines.configured_pools import ConfiguredPools
from tokend_server.engines.local.deleted_pools import REMOVAL_DELAY, remove_deleted_pools
from tokend_server.engines.local.kept_pools import deleted_at
from tokend_server.engines.local.managed_pools import MAX_POOLS, STALENESS, EnginesOfPool, ManagedPools, ServedPools
from tokend_server.engines.local.store import Change, KeptPool, Store
from tokend_server.engines.local.stores.sqlite.store import open_store
from tokend_server.engines.pools import AllPools
from tokend_server.engines.public import PublicEngines
from tokend_server.errors import (
    EngineCredentialsRejected,
    EngineMisconfigured,
    EngineUnavailable,
    InvalidParameter,
    LimitExceeded,
    NotAuthorized,
    ResourceNotFound,
    TokendError,
)
from tokend_server.model import Identity, IdentityPool

REGION = "eu-west-1"
SETTINGS = {"IdentityPoolName": "shop", "AllowUnauthenticatedIdentities": False, "DeveloperProviderName": "login.shop"}


class Replica:
    """One server's view of the pools.

    Attributes:
        built: The pools for which it has created engines, in order.
    """

    def __init__(self, store: Store, clock: FakeClock, ids: Iterator[int]) -> None:
        self.built: list[IdentityPool] = []
        self.pools = ManagedPools(store, clock, lambda: f"{next(ids):08x}", self._engines_of)
        self.deadline = Deadline(clock)

    def _engines_of(self, pool: IdentityPool) -> EnginesOfPool:
        self.built.append(pool)
        return cast("EnginesOfPool", (pool, pool))  # engines are not called here

    def served(self, pool: IdentityPool) -> object:
        return self.pools.engine(pool.identity_pool_id, self.deadline)

    def changed(self, pool: IdentityPool, **members: Any) -> IdentityPool:  # noqa: ANN401 - of a pool
        return self.pools.change(pool.identity_pool_id, lambda as_it_is: as_it_is._replace(**members), self.deadline)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=1_800_000_000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(tmp_path / "tokend.db")) as opened:
        opened.migrate()
        yield opened


@pytest.fixture
def replicas(store: Store, clock: FakeClock) -> tuple[Replica, Replica]:
    ids = itertools.count(1)
    return Replica(store, clock, ids), Replica(store, clock, ids)


@pytest.fixture
def one(replicas: tuple[Replica, Replica]) -> Replica:
    return replicas[0]


@pytest.fixture
def other(replicas: tuple[Replica, Replica]) -> Replica:
    return replicas[1]


def test_a_created_pool_is_served_by_all_replicas_immediately(one: Replica, other: Replica) -> None:
    assert other.pools.engine(f"{REGION}:00000001") is None
    pool = one.pools.create(REGION, SETTINGS, {"team": "shop"})
    assert pool == IdentityPool(f"{REGION}:00000001", SETTINGS, {"team": "shop"})
    assert one.served(pool) == other.served(pool) == pool
    assert cast("object", other.pools.public_engine(pool.identity_pool_id)) == pool
    assert other.pools.public_engine(f"{REGION}:9") is None
    assert other.pools.find(pool.identity_pool_id, other.deadline) == pool
    assert [*other.pools.all()] == [pool]


def test_the_store_is_read_by_the_deadline_of_the_call(store: Store, clock: FakeClock) -> None:
    read_by: list[Deadline | None] = []

    class Watched:
        def kept_pool(self, identity_pool_id: str, deadline: Deadline | None = None) -> KeptPool | None:
            read_by.append(deadline)
            return store.kept_pool(identity_pool_id, deadline)

    replica = Replica(cast("Store", Watched()), clock, itertools.count(1))
    public = PublicEngines({}, (), replica.pools.public_engine)
    with pytest.raises(ResourceNotFound):
        public.of(f"{REGION}:9", replica.deadline)
    assert replica.pools.engine(f"{REGION}:9", replica.deadline) is None
    assert read_by == [replica.deadline] * 2


def test_a_change_is_stored_with_all_members(one: Replica, other: Replica) -> None:
    pool = one.pools.create(REGION, SETTINGS, {})
    members: dict[str, Any] = {
        "settings": {**SETTINGS, "IdentityPoolName": "ü"},
        "tags": {"a": ""},
        "roles": {"Roles": {"authenticated": "arn:aws:iam::111122223333:role/r"}},
        "principal_tags": {"login.shop": {"UseDefaults": False, "PrincipalTags": {"team": "t"}}},
    }
    changed = one.changed(pool, **members)
    assert changed == IdentityPool(pool.identity_pool_id, **members) == other.pools.find(*_of(pool, other))


def _of(pool: IdentityPool, replica: Replica) -> tuple[str, Deadline]:
    return pool.identity_pool_id, replica.deadline


def test_a_change_is_served_by_its_replica_at_once_and_by_others_soon(
    one: Replica, other: Replica, clock: FakeClock
) -> None:
    pool = one.pools.create(REGION, SETTINGS, {})
    assert one.served(pool) == other.served(pool) == pool
    changed = one.changed(pool, tags={"a": "b"})
    assert (one.served(pool), other.served(pool)) == (changed, pool)
    clock.advance(STALENESS)
    assert other.served(pool) == changed


def test_an_engine_is_recreated_only_for_a_changed_pool(one: Replica, clock: FakeClock) -> None:
    pool = one.pools.create(REGION, SETTINGS, {})
    for _ in range(3):
        assert one.served(pool) == pool
        clock.advance(STALENESS)
    assert one.built == [pool]
    changed = one.changed(pool, tags={"a": "b"})
    one.served(pool)
    assert one.built == [pool, changed]


def test_a_recently_read_pool_is_not_read_again(one: Replica, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = one.pools.create(REGION, SETTINGS, {})
    one.served(pool)

    def no_store(*_arguments: object) -> None:
        raise EngineUnavailable("no store")

    monkeypatch.setattr(store, "kept_pool", no_store)
    assert one.served(pool) == pool
    with pytest.raises(EngineUnavailable):
        one.pools.engine(f"{REGION}:0")


def test_a_pool_that_was_deleted_is_gone_at_once_here_and_soon_elsewhere(
    one: Replica, other: Replica, clock: FakeClock
) -> None:
    pool = one.pools.create(REGION, SETTINGS, {})
    assert other.served(pool) == one.served(pool) == pool
    one.pools.delete(*_of(pool, one))
    assert (one.served(pool), other.served(pool)) == (None, pool)
    assert other.pools.find(*_of(pool, other)) is None
    assert [*other.pools.all()] == []
    clock.advance(STALENESS)
    assert other.served(pool) is None
    for act in (one.pools.delete, lambda *pool: one.pools.change(pool[0], lambda same: same, pool[1])):
        with pytest.raises(ResourceNotFound):
            act(*_of(pool, one))


def test_concurrent_changes_are_all_applied(one: Replica, other: Replica) -> None:
    pool = one.pools.create(REGION, SETTINGS, {})
    first = [True]

    def tagged(as_it_is: IdentityPool) -> IdentityPool:
        if first:
            first.pop()
            other.changed(pool, tags={"other": "b"})
        return as_it_is._replace(tags={**as_it_is.tags, "one": "a"})

    assert one.pools.change(pool.identity_pool_id, tagged, one.deadline).tags == {"one": "a", "other": "b"}


def test_a_decision_that_fails_changes_nothing(one: Replica) -> None:
    pool = one.pools.create(REGION, SETTINGS, {})

    def refuse(_pool: IdentityPool) -> IdentityPool:
        raise InvalidParameter("no")

    with pytest.raises(InvalidParameter):
        one.pools.change(pool.identity_pool_id, refuse, one.deadline)
    assert one.pools.find(*_of(pool, one)) == pool


def test_the_number_of_pools_is_limited(one: Replica, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = one.pools.create(REGION, SETTINGS, {})
    [kept] = store.kept_pools()
    assert kept.identity_pool_id == pool.identity_pool_id
    monkeypatch.setattr(store, "kept_pools", lambda: [kept] * MAX_POOLS)
    with pytest.raises(LimitExceeded, match="1000 identity pools"):
        one.pools.create(REGION, SETTINGS, {})


def identity(number: int, pool: IdentityPool, clock: FakeClock) -> Change:
    now = int(clock.now())
    return Change(None, Identity(f"{REGION}:{number:08x}", pool.identity_pool_id, now, now))


def test_identities_of_a_deleted_pool_are_removed(one: Replica, store: Store, clock: FakeClock) -> None:
    gone, kept = one.pools.create(REGION, SETTINGS, {}), one.pools.create(REGION, SETTINGS, {})
    changes = [identity(number, gone if number % 2 else kept, clock) for number in range(250)]
    store.commit(*changes, deadline=one.deadline)
    one.pools.delete(*_of(gone, one))
    remove_deleted_pools(store, clock)
    assert (store.identity_count(gone.identity_pool_id), store.identity_count(kept.identity_pool_id)) == (0, 125)
    remaining = store.kept_pool(gone.identity_pool_id)
    assert remaining
    assert deleted_at(remaining) == clock.now()
    late = identity(999, gone, clock)  # by a server that has not loaded it
    store.commit(late, deadline=one.deadline)
    clock.advance(REMOVAL_DELAY)
    remove_deleted_pools(store, clock)
    assert [each.identity_pool_id for each in store.kept_pools()] == [kept.identity_pool_id]
    assert store.identity_count(gone.identity_pool_id) == 0


def test_a_server_with_a_clock_ahead_does_not_remove_a_deleted_pool_too_early(
    one: Replica, store: Store, clock: FakeClock
) -> None:
    pool, ahead = one.pools.create(REGION, SETTINGS, {}), FakeClock(clock.now() + CLOCK_SKEW)
    one.pools.delete(*_of(pool, one))
    remove_deleted_pools(store, ahead)
    store.commit(identity(1, pool, clock), deadline=one.deadline)  # by a server that has not loaded it
    ahead.advance(REMOVAL_DELAY)
    remove_deleted_pools(store, ahead)
    assert (store.identity_count(pool.identity_pool_id), store.kept_pools()) == (0, [])


@pytest.mark.parametrize("failure", [EngineUnavailable, EngineCredentialsRejected, EngineMisconfigured])
def test_a_failed_removal_of_deleted_pools_is_logged(
    failure: Callable[[str], TokendError],
    store: Store,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def no_store() -> None:
        raise failure("no store")

    monkeypatch.setattr(store, "kept_pools", no_store)
    remove_deleted_pools(store, clock)
    assert [record.message for record in caplog.records] == ["identities of deleted pools could not be removed"]


def test_pools_of_the_configuration_are_first_and_cannot_be_changed(one: Replica) -> None:
    managed = [one.pools.create(REGION, SETTINGS, {}) for _ in range(2)]
    own, shadowing = f"{REGION}:00000001-a", managed[1].identity_pool_id
    configured = ConfiguredPools({each: Pool(developer_provider_name="login.own") for each in (own, shadowing)})
    pools = AllPools(configured, one.pools)
    listed = pools.list(REGION, 9, "", one.deadline)
    assert [each.identity_pool_id for each in listed] == [managed[0].identity_pool_id, own, shadowing]
    assert listed[2].name == pools.describe(shadowing, one.deadline).name == "login.own"
    assert [each.identity_pool_id for each in pools.list(REGION, 1, own, one.deadline)] == [shadowing]
    assert pools.list("eu-west-2", 9, "", one.deadline) == []
    with pytest.raises(NotAuthorized, match="is declared in the configuration"):
        pools.delete(own, one.deadline)
    with pytest.raises(NotAuthorized, match="is declared in the configuration"):
        pools.change(shadowing, lambda same: same, one.deadline)


def test_pools_of_both_kinds_are_served(one: Replica) -> None:
    managed = one.pools.create(REGION, SETTINGS, {}).identity_pool_id
    served = ServedPools({f"{REGION}:0"}, one.pools)
    assert (managed in served, f"{REGION}:0" in served, f"{REGION}:9" in served) == (True, True, False)
    assert f"{REGION}:9" not in ServedPools({f"{REGION}:0"}, None)
