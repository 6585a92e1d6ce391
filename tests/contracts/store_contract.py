"""The contract of stores: a test suite that runs for each kind, with the URL of such a store."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import NoReturn, TypeAlias

import pytest
from prometheus_client import CollectorRegistry
from tests.fakes.clock import FakeClock

from tokend_server import config
from tokend_server.clock import Deadline
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Change, KeptPool, Store
from tokend_server.engines.local.stores.opening import open_migrated_store, open_store
from tokend_server.errors import DeadlineExceeded, EngineUnavailable
from tokend_server.metrics import Metrics
from tokend_server.model import Identity, Login, Secret

POOL = "eu-west-1:11111111-2222-3333-4444-555555555555"
OTHER_POOL = "eu-west-1:99999999-2222-3333-4444-555555555555"

_CLOCK = FakeClock()
NO_DEADLINE = Deadline(_CLOCK)
SPENT = Deadline(_CLOCK, _CLOCK.monotonic())

#: Opens the store again, like another process.
Opened: TypeAlias = Callable[[], Store]


class Refused(Exception):
    """Raised by a test's own decision."""


class StoreUnderTest(ABC):
    """The fixtures of the suites. A subclass provides the fixture `url`, of an empty store."""

    @pytest.fixture
    @abstractmethod
    def url(self) -> str: ...

    @pytest.fixture
    def opened(self, url: str) -> Iterator[Opened]:
        configured = config.Config(store=config.Store.model_validate({"url": url}))
        with ExitStack() as undo:
            yield lambda: undo.enter_context(closing(open_migrated_store(configured)))

    @pytest.fixture
    def store(self, opened: Opened) -> Store:
        return opened()

    @pytest.fixture
    def other(self, store: Store, opened: Opened) -> Store:
        """The same store, opened as by another process."""
        assert store
        return opened()


class StoreContract(StoreUnderTest):
    """Identities, their linked logins, developer providers, and the lifecycle of the store itself."""

    def test_a_schema_is_made_once(self, url: str) -> None:
        configured = config.Config(store=config.Store.model_validate({"url": url}))
        with closing(open_store(configured)) as store:
            missing = list(store.missing_migrations())
            assert list(store.migrate()) == missing
            assert list(store.migrate()) == list(store.missing_migrations()) == []
            store.check()

    def test_a_store_works_after_start(self, store: Store) -> None:
        store.start(Metrics(CollectorRegistry()))
        _create(store, identity("a", "x"))
        assert store.owners(POOL, [login("x")]) == ["eu-west-1:a"]

    def test_commits_are_visible_after_the_store_is_reopened(self, store: Store, other: Store) -> None:
        _create(store, kept := identity("a", "x"))
        assert other.read(POOL, (), kept.identity_id).named == kept
        store.close()
        assert other.owners(POOL, [login("x")]) == [kept.identity_id]

    def test_committed_identities_are_read_unchanged(self, store: Store) -> None:
        _create(store, kept := identity("a", "x", "\u0000", "ü" * 1000))
        assert store.read(POOL, (), kept.identity_id).named == kept
        assert store.owners(POOL, [login("x"), login("y")]) == [kept.identity_id, None]
        assert store.owners(POOL, []) == []

    def test_logins_and_an_identity_are_read_together(self, store: Store) -> None:
        _create(store, a := identity("a", "x", "y"))
        _create(store, b := identity("b", "z"))
        asked = [login("x"), login("z"), login("none")]
        assert store.read(POOL, asked, a.identity_id) == ({login("x"): a, login("z"): b}, a)
        assert store.read(POOL, asked[2:], "eu-west-1:none") == ({}, None)

    @pytest.mark.parametrize(
        ("user", "similar"),
        [("User", "user"), ("us\u00e9r", "use\u0301r"), ("user ", "user"), ("\u00df", "ss"), ("1", "01")],
    )
    def test_logins_differ_by_every_byte(self, store: Store, user: str, similar: str) -> None:
        _create(store, identity("a", user))
        _create(store, identity("b", similar))
        assert store.owners(POOL, [login(user), login(similar)]) == ["eu-west-1:a", "eu-west-1:b"]

    def test_an_identity_belongs_to_its_pool_alone(self, store: Store) -> None:
        _create(store, identity("a", "x"))
        assert store.read(OTHER_POOL, (), "eu-west-1:a").named is None
        assert store.owners(OTHER_POOL, [login("x")]) == [None]
        _create(store, identity("b", "x", pool=OTHER_POOL))
        assert store.owners(OTHER_POOL, [login("x")]) == ["eu-west-1:b"]

    def test_an_identity_is_found_by_its_id_alone(self, store: Store, other: Store) -> None:
        _create(store, a := identity("a", "x", "y"))
        _create(store, b := identity("b", pool=OTHER_POOL))
        assert [other.find(each.identity_id, NO_DEADLINE) for each in (a, b)] == [a, b]
        assert store.find("eu-west-1:none") is None
        assert store.delete(a.identity_id)
        assert other.find(a.identity_id) is None

    def test_a_login_is_linked_once(self, store: Store) -> None:
        _create(store, identity("a", "x"))
        with pytest.raises(StaleReading):
            _create(store, identity("b", "x", "y"))
        assert store.read(POOL, (), "eu-west-1:b").named is None
        assert store.owners(POOL, [login("y")]) == [None]

    def test_an_identity_id_is_used_once(self, store: Store) -> None:
        _create(store, identity("a", "x"))
        with pytest.raises(StaleReading):
            _create(store, identity("a", "y"))
        assert store.owners(POOL, [login("x"), login("y")]) == ["eu-west-1:a", None]

    def test_one_of_concurrent_first_calls_creates_the_identity(self, store: Store, other: Store) -> None:
        def create(number: int) -> str | None:
            try:
                _create((store, other)[number % 2], made := identity(f"{number:02}", "x"))
            except (StaleReading, EngineUnavailable):
                return None
            return made.identity_id

        with ThreadPoolExecutor(4) as threads:
            created = [each for each in threads.map(create, range(12)) if each]
        assert store.owners(POOL, [login("x")]) == created
        assert len(created) == 1

    def test_a_change_of_an_outdated_reading_is_refused(self, store: Store) -> None:
        _create(store, read := identity("a", "x"))
        store.commit(Change(read, replace(read, logins=read.logins | {login("y")})), deadline=NO_DEADLINE)
        with pytest.raises(StaleReading):
            store.commit(Change(read, replace(read, logins=read.logins | {login("z")})), deadline=NO_DEADLINE)
        assert store.owners(POOL, [login("x"), login("y"), login("z")]) == ["eu-west-1:a", "eu-west-1:a", None]

    def test_a_change_replaces_all_mutable_members(self, store: Store) -> None:
        _create(store, read := identity("a", "x", "y"))
        after = replace(read, logins=frozenset({login("y"), login("z")}), disabled=True, last_modified_date=2)
        store.commit(Change(read, after), deadline=NO_DEADLINE)
        changed = store.read(POOL, (), read.identity_id).named
        assert changed == replace(after, revision=read.revision + 1)
        assert store.owners(POOL, [login("x"), login("y"), login("z")]) == [None, "eu-west-1:a", "eu-west-1:a"]

    def test_a_login_may_move_in_one_commit(self, store: Store) -> None:
        _create(store, a := identity("a", "x"))
        _create(store, b := identity("b", "y"))
        store.commit(
            Change(b, replace(b, logins=a.logins | b.logins)),
            Change(a, replace(a, logins=frozenset(), disabled=True)),
            deadline=NO_DEADLINE,
        )
        assert store.owners(POOL, [login("x"), login("y")]) == ["eu-west-1:b"] * 2

    def test_a_commit_is_atomic(self, store: Store) -> None:
        a, b = identity("a", "x"), identity("b", "y")
        store.commit(Change(None, a), Change(None, b), deadline=NO_DEADLINE)
        outdated = replace(b, revision=7)
        with pytest.raises(StaleReading):
            store.commit(
                Change(a, replace(a, logins=frozenset(), disabled=True)),
                Change(outdated, replace(b, logins=a.logins | b.logins)),
                deadline=NO_DEADLINE,
            )
        assert store.read(POOL, (), a.identity_id).named == a

    def test_a_change_of_a_deleted_identity_is_refused(self, store: Store) -> None:
        _create(store, read := identity("a", "x"))
        assert store.delete(read.identity_id)
        assert not store.delete(read.identity_id)
        with pytest.raises(StaleReading):
            store.commit(Change(read, replace(read, disabled=True)), deadline=NO_DEADLINE)
        assert store.owners(POOL, [login("x")]) == [None]

    def test_a_spent_deadline_changes_nothing(self, store: Store) -> None:
        with pytest.raises(DeadlineExceeded):
            store.commit(Change(None, identity("a", "x")), deadline=SPENT)
        assert store.read(POOL, (), "eu-west-1:a").named is None

    def test_identities_are_listed_in_pages_ordered_by_id(self, store: Store) -> None:
        for name in ("c", "a", "b"):
            _create(store, identity(name, name))
        _create(store, replace(identity("d"), disabled=True))
        _create(store, identity("e", pool=OTHER_POOL))

        def page(after: str | None, *, hide_disabled: bool = False) -> list[str]:
            found = store.identities(POOL, max_results=2, after=after, hide_disabled=hide_disabled)
            return [each.identity_id.removeprefix("eu-west-1:") for each in found]

        assert page(None) == ["a", "b"]
        assert page("eu-west-1:b") == ["c", "d"]
        assert page("eu-west-1:b", hide_disabled=True) == ["c"]

    def test_developer_providers_are_kept(self, store: Store, other: Store) -> None:
        store.keep_developer_providers(lambda kept: {POOL: "one", OTHER_POOL: "two"} if not kept else {})
        other.keep_developer_providers(lambda kept: {POOL: f"not {kept[POOL]}"})
        assert store.developer_providers() == {POOL: "not one", OTHER_POOL: "two"}

    def test_a_decision_that_fails_changes_no_developer_providers(self, store: Store) -> None:
        store.keep_developer_providers(lambda _kept: {POOL: "one"})
        with pytest.raises(Refused):
            store.keep_developer_providers(_refuse)
        assert store.developer_providers() == {POOL: "one"}

    def test_the_store_reports_identity_counts_and_login_providers_of_pools(self, store: Store) -> None:
        assert store.pools_with_identities() == frozenset()
        assert store.identity_count(POOL) == 0
        _create(store, replace(identity("a"), logins=frozenset({login("x", "p"), login("x", "q")})))
        _create(store, identity("b", pool=OTHER_POOL))
        assert store.pools_with_identities() == {POOL, OTHER_POOL}
        _create(store, identity("c"))
        assert (store.identity_count(POOL), store.identity_count(OTHER_POOL)) == (2, 1)
        assert store.provider_names(POOL) == {"p", "q"}
        assert store.provider_names(OTHER_POOL) == frozenset()
        assert store.has_login_of(POOL, "q")
        assert not store.has_login_of(POOL, "r")
        assert not store.has_login_of(OTHER_POOL, "q")

    def test_a_pool_is_kept_and_changed(self, store: Store, other: Store) -> None:
        assert (store.kept_pools(), store.kept_pool(POOL)) == ([], None)
        store.keep_pool(None, POOL, b'{"a": "\xc3\xbc"}')
        first = other.kept_pool(POOL)
        assert first == KeptPool(POOL, b'{"a": "\xc3\xbc"}')
        other.keep_pool(first, POOL, b"second")
        second = store.kept_pool(POOL)
        assert second == KeptPool(POOL, b"second", 1)
        assert store.kept_pools() == [second]

    def test_pools_are_kept_in_order_of_their_ids(self, store: Store) -> None:
        for pool in (OTHER_POOL, "us-east-1:0", POOL):
            store.keep_pool(None, pool, pool.encode())
        assert [kept.identity_pool_id for kept in store.kept_pools()] == [POOL, OTHER_POOL, "us-east-1:0"]

    def test_a_pool_is_not_kept_twice(self, store: Store, other: Store) -> None:
        store.keep_pool(None, POOL, b"first")
        with pytest.raises(StaleReading):
            other.keep_pool(None, POOL, b"second")
        assert store.kept_pool(POOL) == KeptPool(POOL, b"first")

    def test_an_outdated_change_or_removal_of_a_pool_has_no_effect(self, store: Store, other: Store) -> None:
        store.keep_pool(None, POOL, b"first")
        first = store.kept_pool(POOL)
        assert first
        other.keep_pool(first, POOL, b"second")
        with pytest.raises(StaleReading):
            store.keep_pool(first, POOL, b"third")
        store.forget_pool(first)
        assert store.kept_pool(POOL) == KeptPool(POOL, b"second", 1)

    def test_a_pool_that_is_forgotten_is_gone(self, store: Store, other: Store) -> None:
        store.keep_pool(None, POOL, b"first")
        kept = store.kept_pool(POOL)
        assert kept
        other.forget_pool(kept)
        assert (store.kept_pool(POOL), store.kept_pools()) == (None, [])
        with pytest.raises(StaleReading):
            store.keep_pool(kept, POOL, b"second")
        store.forget_pool(kept)


def login(user: str, provider: str = "p") -> Login:
    return Login(provider, Secret(user))


def identity(name: str, *users: str, pool: str = POOL) -> Identity:
    return Identity(f"eu-west-1:{name}", pool, 1, 1, frozenset(login(user) for user in users))


def _create(store: Store, created: Identity) -> None:
    store.commit(Change(None, created), deadline=NO_DEADLINE)


def _refuse(_kept: Mapping[str, str]) -> NoReturn:
    raise Refused
