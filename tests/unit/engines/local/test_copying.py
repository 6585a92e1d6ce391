"""Copies of one store to another, with concurrent changes."""

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.key_store_contract import key
from tests.contracts.store_contract import NO_DEADLINE, OTHER_POOL, POOL, identity, login
from tests.fakes.clock import FakeClock

from tokend_server.clock import Deadline
from tokend_server.engines.local import copying
from tokend_server.engines.local.copying import StoreCopy, WriteCounts, contents, identity_count
from tokend_server.engines.local.store import Change, Store
from tokend_server.engines.local.stores.sqlite.store import open_store
from tokend_server.errors import ConfigError, LimitExceeded
from tokend_server.model import Identity


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[str], Store]]:
    made: list[Store] = []

    def open_(name: str) -> Store:
        store = open_store(tmp_path / f"{name}.db")
        store.migrate()
        made.append(store)
        return store

    yield open_
    for store in made:
        store.close()


@pytest.fixture
def source(make: Callable[[str], Store]) -> Store:
    return make("source")


@pytest.fixture
def target(make: Callable[[str], Store]) -> Store:
    return make("target")


def nothing(_count: int) -> None:
    pass


def copy(source: Store, target: Store, *, delete: bool = False) -> WriteCounts:
    return StoreCopy(source, target, FakeClock()).run(nothing, delete=delete)


def commit(store: Store, *changes: Change) -> None:
    store.commit(*changes, deadline=NO_DEADLINE)


def create(store: Store, *created: Identity) -> None:
    commit(store, *(Change(None, each) for each in created))


def read(store: Store, name: str) -> Identity:
    found = store.read(POOL, (), f"eu-west-1:{name}").named
    assert found
    return found


def assert_equal(source: Store, target: Store) -> None:
    pools = source.developer_providers().keys()
    assert contents(source, pools, nothing) == contents(target, pools, nothing)
    assert copy(source, target) == WriteCounts()


def test_a_store_is_not_copied_to_itself(tmp_path: Path, make: Callable[[str], Store]) -> None:
    source, target = make("source"), open_store(tmp_path / "source.db")
    create(source, identity("a", "x"))
    with closing(target):
        for delete in (False, True):
            with pytest.raises(ConfigError, match="FROM and TO are the same store"):
                copy(source, target, delete=delete)
    assert read(source, "a").logins == {login("x")}
    assert source.fetch_records() == []


def test_the_stores_have_no_mark_afterwards(source: Store, target: Store) -> None:
    create(source, identity("a"))
    copy(source, target)
    assert (source.fetch_records(), target.fetch_records()) == ([], [])


def test_all_contents_are_copied_unchanged(source: Store, target: Store) -> None:
    create(source, identity("a", "x", "\u0000", "\u00fc"), identity("b"), identity("c", "x", pool=OTHER_POOL))
    create(source, replace(identity("d"), disabled=True, creation_date=5, last_modified_date=7, revision=3))
    for number in (1, 2):
        source.add_signing_key(key(number))
    source.keep_developer_providers(lambda _kept: {POOL: "p"})
    assert copy(source, target) == WriteCounts(created=4, keys=2)
    for name in "abd":
        assert read(target, name) == read(source, name)
    assert target.signing_keys() == source.signing_keys()
    assert target.developer_providers() == {POOL: "p"}
    assert_equal(source, target)


def test_an_advanced_signing_time_of_a_key_is_copied(source: Store, target: Store) -> None:
    source.add_signing_key(kept := key(1))
    copy(source, target)
    source.replace_signs_from(kept, kept.signs_from - 3000)
    assert copy(source, target) == WriteCounts(keys=1)
    assert target.signing_keys() == source.signing_keys()
    assert_equal(source, target)


def test_a_run_that_was_broken_off_is_repeated(source: Store, target: Store) -> None:
    everything = [identity(f"{number:03}", f"{number}") for number in range(70)]
    create(source, *everything)
    create(target, *everything[10:30])
    assert copy(source, target) == WriteCounts(created=50)
    assert_equal(source, target)


def test_progress_counts_the_identities_of_the_source(
    source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_PAGE", 2)
    create(source, identity("a"), identity("b"), identity("c", pool=OTHER_POOL))
    create(target, identity("b"), identity("x"))
    progress: list[int] = []
    StoreCopy(source, target, FakeClock()).run(progress.append, delete=True)
    assert progress == [2, 2, 3]
    contents(target, (), progress.append)
    assert progress[3:] == [2, 3]
    assert identity_count(source) == identity_count(target) == 3


class Narrow:
    """A target that accepts few identities per commit, and counts commits."""

    def __init__(self, store: Store, most: int) -> None:
        self._store = store
        self._most = most
        self.commits = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def commit(self, *changes: Change, deadline: Deadline) -> None:
        if len(changes) > self._most:
            raise LimitExceeded("too many", subject="")
        self._store.commit(*changes, deadline=deadline)
        self.commits += 1


def test_a_batch_that_is_too_large_is_divided(source: Store, target: Store) -> None:
    create(source, *(identity(f"{number:02}", f"{number}") for number in range(32)))
    create(target, identity("13", "13"))
    narrow = Narrow(target, most=5)
    assert StoreCopy(source, narrow, FakeClock()).run(nothing, delete=False) == WriteCounts(created=31)  # type: ignore[arg-type]
    assert narrow.commits == 8
    assert_equal(source, target)


def test_a_batch_that_fails_is_committed_in_halves(
    source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_BATCH", 16)
    create(source, identity("99", "x"))
    copy(source, target)
    old = read(source, "99")
    commit(source, Change(old, replace(old, logins=frozenset())))
    create(source, identity("00", "x"), *(identity(f"{number:02}", f"{number}") for number in range(1, 16)))
    beside = Narrow(target, most=16)
    StoreCopy(source, beside, FakeClock()).run(nothing, delete=False)  # type: ignore[arg-type]
    assert beside.commits == 5
    assert_equal(source, target)


@pytest.mark.parametrize("theirs", [{}, {POOL: "other"}])
def test_another_developer_provider_is_a_difference(source: Store, target: Store, theirs: dict[str, str]) -> None:
    source.keep_developer_providers(lambda _kept: {POOL: "p"})
    target.keep_developer_providers(lambda _kept: theirs)
    ours = contents(source, {POOL}, nothing)
    assert contents(target, {POOL}, nothing) != ours
    target.keep_developer_providers(lambda _kept: {POOL: "p", OTHER_POOL: "of its own"})
    assert contents(target, {POOL}, nothing) == ours


def test_logins_that_moved_since_the_last_copy_are_moved(source: Store, target: Store) -> None:
    create(source, identity("a", "x"), identity("b", "y"), identity("c", "z"))
    copy(source, target)
    a, b, c = (read(source, name) for name in "abc")
    commit(
        source,
        Change(a, replace(a, logins=b.logins)),
        Change(b, replace(b, logins=c.logins)),
        Change(c, replace(c, logins=a.logins)),
    )
    create(source, identity("d", "new"))
    assert copy(source, target) == WriteCounts(created=1, changed=3)
    assert_equal(source, target)


def test_a_login_moved_to_a_new_identity_is_copied(source: Store, target: Store) -> None:
    create(source, identity("b", "x"))
    copy(source, target)
    b = read(source, "b")
    commit(source, Change(b, replace(b, logins=frozenset({login("y")}))))
    create(source, identity("a", "x"))
    copy(source, target)
    assert_equal(source, target)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_login_of_a_deleted_identity_moves_to_its_new_owner_with_delete(
    source: Store, target: Store, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_BATCH", batch)  # with 1, the new owner is created before the old one is removed
    create(source, identity("b", "x"))
    copy(source, target)
    source.delete("eu-west-1:b")
    create(source, identity("a", "x"))
    with pytest.raises(ConfigError, match="--delete"):
        copy(source, target)
    assert copy(source, target, delete=True).deleted == 1
    assert_equal(source, target)


def test_a_target_with_its_own_contents_is_not_overwritten(source: Store, target: Store) -> None:
    create(target, identity("a", "x"))
    for delete in (False, True):
        with pytest.raises(ConfigError, match="check that they are not swapped"):
            copy(source, target, delete=delete)
    create(source, identity("b", "y"))
    with pytest.raises(ConfigError, match="eu-west-1:a, which FROM lacks"):
        copy(source, target)
    target.add_signing_key(key(1))
    with pytest.raises(ConfigError, match="1 signing keys that FROM lacks"):
        copy(source, target)
    assert read(target, "a").logins == {login("x")}
    copy(source, target, delete=True)
    assert_equal(source, target)


@pytest.mark.parametrize("seed", range(5))
def test_a_source_that_changes_during_copies_is_copied_completely(
    source: Store, target: Store, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_PAGE", 3)
    monkeypatch.setattr(copying, "_BATCH", 2)
    chance = random.Random(seed)
    names = [f"{number:02}" for number in range(12)]
    create(source, *(identity(name, name) for name in names))
    for _ in range(4):
        copy_beside(source, target, lambda: shuffle(source, chance))
    copy(source, target)
    assert_equal(source, target)


def shuffle(store: Store, chance: random.Random) -> None:
    """A source that moves a login from one identity to another."""
    everyone = store.identities(POOL, max_results=100, after=None, hide_disabled=False)
    one, other = chance.sample(everyone, 2)
    if not one.logins:
        return
    moved = chance.choice(sorted(one.logins, key=lambda each: each.user_identifier.reveal()))
    commit(
        store,
        Change(one, replace(one, logins=one.logins - {moved}, last_modified_date=one.last_modified_date + 1)),
        Change(other, replace(other, logins=other.logins | {moved}, last_modified_date=other.last_modified_date + 1)),
    )


class Beside:
    """A source that changes whenever it is read."""

    def __init__(self, store: Store, change: Callable[[], None]) -> None:
        self._store = store
        self._change = change

    def __getattr__(self, name: str) -> object:
        if name in {"identities", "read"}:
            self._change()
        return getattr(self._store, name)


def copy_beside(source: Store, target: Store, change: Callable[[], None]) -> None:
    StoreCopy(Beside(source, change), target, FakeClock()).run(nothing, delete=False)  # type: ignore[arg-type]


def test_kept_pools_are_copied(source: Store, target: Store) -> None:
    create(source, identity("a"))
    source.keep_pool(None, POOL, b"first")
    source.keep_pool(None, OTHER_POOL, b"other")
    target.keep_pool(None, POOL, b"before")
    copy(source, target)
    documents = [(each.identity_pool_id, each.document) for each in target.kept_pools()]
    assert documents == [(POOL, b"first"), (OTHER_POOL, b"other")]
    assert_equal(source, target)


def test_pools_that_the_source_lacks_are_removed_only_with_delete(source: Store, target: Store) -> None:
    create(source, identity("a"))
    target.keep_pool(None, POOL, b"strange")
    assert contents(source, (), nothing).digest != contents(target, (), nothing).digest
    with pytest.raises(ConfigError, match="TO has 1 pools that FROM lacks; --delete removes them"):
        copy(source, target)
    copy(source, target, delete=True)
    assert target.kept_pools() == []
