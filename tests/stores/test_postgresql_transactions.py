"""Concurrent transactions of many servers on one PostgreSQL, at each isolation level that its operators may choose."""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from tests.contracts.key_store_contract import key
from tests.contracts.store_contract import OTHER_POOL, POOL, identity, login
from tests.stores.opened import Opened, create, deadline_in, owner
from tests.support.postgresql import PostgresqlServer

from tokend_server import logs
from tokend_server.engines.local.keys.keyring import SigningKey
from tokend_server.engines.local.keys.store import FetchRecord
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Change, Store
from tokend_server.model import Identity

LEVELS = ("read committed", "repeatable read", "serializable")


@pytest.fixture(params=LEVELS)
def url(request: pytest.FixtureRequest, postgresql: PostgresqlServer) -> str:
    level = request.param.replace(" ", "%5C%20")
    return f"{postgresql.new_schema()}%20-cdefault_transaction_isolation%3D{level}"


@pytest.fixture
def stores(url: str, opened: Opened) -> tuple[Store, Store]:
    return opened(url), opened(url)


def test_one_of_many_first_calls_for_a_user_creates_the_identity(stores: tuple[Store, Store]) -> None:
    def first(number: int) -> str | None:
        try:
            create(stores[number % 2], made := identity(f"{number:03}", "x", "y", "z"))
        except StaleReading:
            return None
        return made.identity_id

    with ThreadPoolExecutor(8) as threads:
        made = [each for each in threads.map(first, range(64)) if each]
    assert made == [owner(stores[0], "x")]
    assert stores[1].read(POOL, [login("x")]).owners[login("x")].logins == {login("x"), login("y"), login("z")}


def test_a_conflict_with_another_server_logs_no_warning(
    stores: tuple[Store, Store], caplog: pytest.LogCaptureFixture
) -> None:
    create(stores[0], identity("000", *"abcdefgh"))
    with logs.logging_to_stderr():
        for number in range(1, 33):  # psycopg's error depends on how fast the server responds
            with pytest.raises(StaleReading):
                create(stores[1], identity(f"{number:03}", *"abcdefgh"))
    assert caplog.records == []


def test_one_of_many_changes_to_the_same_revision_is_committed(stores: tuple[Store, Store]) -> None:
    create(stores[0], read := identity("a", "x"))

    def link(number: int) -> str | None:
        after = replace(read, logins=read.logins | {login(f"y{number}")})
        try:
            stores[number % 2].commit(Change(read, after), deadline=deadline_in(30))
        except StaleReading:
            return None
        return f"y{number}"

    with ThreadPoolExecutor(8) as threads:
        made = [each for each in threads.map(link, range(32)) if each]
    assert len(made) == 1
    found = stores[0].read(POOL, [login("x")]).owners[login("x")]
    assert found == replace(read, logins=frozenset({login("x"), login(made[0])}), revision=read.revision + 1)


def test_merges_towards_each_other_leave_all_logins_with_one_identity(stores: tuple[Store, Store]) -> None:
    for number in range(8):
        create(stores[0], a := identity(f"a{number}", f"x{number}"))
        create(stores[0], b := identity(f"b{number}", f"y{number}"))

        def merge(way: tuple[Store, int], a: Identity = a, b: Identity = b) -> bool:
            store, turned = way
            source, destination = (a, b)[:: -1 if turned else 1]
            changes = (
                Change(source, replace(source, logins=frozenset(), disabled=True)),
                Change(destination, replace(destination, logins=source.logins | destination.logins)),
            )
            try:
                store.commit(*changes, deadline=deadline_in(30))
            except StaleReading:
                return False
            return True

        with ThreadPoolExecutor(2) as threads:
            merged = list(threads.map(merge, zip(stores, (0, 1), strict=True)))
        assert sum(merged) == 1
        assert owner(stores[0], f"x{number}") == owner(stores[0], f"y{number}")


def test_an_identity_that_is_deleted_meanwhile_keeps_no_login(stores: tuple[Store, Store]) -> None:
    for number in range(8):
        create(stores[0], read := identity(f"a{number}", f"x{number}"))

        def link(read: Identity = read, number: int = number) -> None:
            after = replace(read, logins=read.logins | {login(f"y{number}")})
            with suppress(StaleReading):
                stores[0].commit(Change(read, after), deadline=deadline_in(30))

        with ThreadPoolExecutor(2) as threads:
            linked = threads.submit(link)
            deleted = threads.submit(lambda: stores[1].delete(read.identity_id))
            linked.result()
            try:
                gone = deleted.result()
            except StaleReading:
                gone = stores[1].delete(read.identity_id)
        assert gone
        assert stores[0].owners(POOL, [login(f"x{number}"), login(f"y{number}")]) == [None, None]


def test_removal_of_a_key_is_checked_again_after_a_concurrent_removal(stores: tuple[Store, Store]) -> None:
    for added in (first := key(1), second := key(2), third := key(3)):
        stores[0].add_signing_key(added)
    seen: list[Sequence[SigningKey]] = []

    def check(keys: Sequence[SigningKey]) -> None:
        seen.append(tuple(keys))
        if len(seen) == 1:
            stores[1].remove_signing_key(second.kid, lambda _keys: None)

    stores[0].remove_signing_key(first.kid, check)
    assert seen == [(first, second, third), (first, third)]
    assert stores[0].signing_keys() == (third,)


def test_providers_are_decided_again_after_a_concurrent_change(stores: tuple[Store, Store]) -> None:
    seen: list[Mapping[str, str]] = []

    def decide(kept: Mapping[str, str]) -> Mapping[str, str]:
        seen.append(dict(kept))
        if len(seen) == 1:
            stores[1].keep_developer_providers(lambda _kept: {OTHER_POOL: "theirs"})
        return {POOL: f"beside {len(kept)}"}

    stores[0].keep_developer_providers(decide)
    assert seen == [{}, {OTHER_POOL: "theirs"}]
    assert stores[1].developer_providers() == {POOL: "beside 1", OTHER_POOL: "theirs"}


def test_concurrent_changes_of_fetch_records_lose_none(stores: tuple[Store, Store]) -> None:
    def note(number: int) -> None:
        stores[number % 2].keep_fetch_record(FetchRecord(f"{number:02}", number, b""))
        if number % 4 == 0:
            stores[number % 2].forget_fetch_records(32)

    for number in range(32):
        note(number)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(note, range(32, 64)))
    assert [each.noted_at for each in stores[0].fetch_records()] == [*range(32, 64)]


def test_a_pool_that_several_servers_forget_at_once_is_gone(stores: tuple[Store, Store]) -> None:
    for number in range(16):
        pool = f"eu-west-1:{number:08x}"
        stores[0].keep_pool(None, pool, b"{}")
        kept = stores[0].kept_pool(pool)
        assert kept
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(lambda store, kept=kept: store.forget_pool(kept), stores))
        assert stores[1].kept_pool(pool) is None


def test_servers_that_start_together_make_the_schema_once(url: str, opened: Opened) -> None:
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(lambda _: opened(url), range(4)))
    create(stores[0], identity("a", "x"))
    assert [owner(each, "x") for each in stores] == ["eu-west-1:a"] * 4


def test_ids_are_listed_in_the_order_of_their_bytes(url: str, opened: Opened) -> None:
    store = opened(url)
    names = ["B", "a", "A", "b", "-", "1", "aa", "a-b"]
    for name in names:
        create(store, identity(name))
    found = [each.identity_id for each in store.identities(POOL, max_results=60, after=None, hide_disabled=False)]
    assert found == sorted(f"eu-west-1:{name}" for name in names)
    after = store.identities(POOL, max_results=60, after=found[3], hide_disabled=False)
    assert [each.identity_id for each in after] == found[4:]


def test_id_columns_have_the_collation_c(url: str, opened: Opened, postgresql: PostgresqlServer) -> None:
    opened(url)
    (schema,) = re.findall(r"search_path%3D(\w+)", url)
    columns = postgresql.execute(
        "SELECT table_name, column_name, collation_name FROM information_schema.columns WHERE table_schema = %s "
        "AND column_name IN ('identity_id', 'identity_pool_id')",
        schema,
    )
    assert {collation for *_, collation in columns} == {"C"}
    assert len(columns) == 5
