"""Failures of PostgreSQL and its network: calls fail in time, no acknowledged change is lost, and all recovers."""

import signal
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
from tests.contracts.store_contract import POOL, identity, login
from tests.stores.opened import Opened, create, deadline_in, owner, until_back
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.local_engine import DEVELOPER, LocalEngineUnderTest
from tests.support.postgresql import PostgresqlServer, own_server, run_directory

from tokend_server.clock import Deadline
from tokend_server.engines.local.build import new_guid
from tokend_server.engines.local.engine import LocalEngine
from tokend_server.engines.local.store import Change, Store
from tokend_server.engines.local.stores.postgresql.opening import BoundedConnection
from tokend_server.errors import EngineUnavailable
from tokend_server.model import IdentityOutcome, IssuedToken, MergeRequest, Secret, TokenRequest

#: The timeout of a caller, in seconds.
TIMEOUT = 2.5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresqlServer]:
    with own_server(run_directory(tmp_path_factory)) as server:
        yield server


@pytest.fixture
def proxy(postgresql: PostgresqlServer) -> Iterator[FaultProxy]:
    with FaultProxy(postgresql.port) as proxy:
        yield proxy


@pytest.fixture
def distant(postgresql: PostgresqlServer, proxy: FaultProxy, opened: Opened) -> Store:
    """The store behind the proxy."""
    return opened(postgresql.new_schema().replace(f":{postgresql.port}/", f":{proxy.port}/"))


def all_unavailable_in_time(store: Store) -> None:
    """Makes a call of each kind, which fails before its deadline because the store does not respond."""
    calls: list[Callable[[Deadline], object]] = [
        lambda deadline: owner(store, "x", deadline),
        lambda deadline: store.read(POOL, [login("x")], deadline=deadline),
        lambda deadline: create(store, identity("made", "new"), deadline),
    ]

    def left_after(call: Callable[[Deadline], object]) -> float:
        deadline = deadline_in(TIMEOUT)
        with pytest.raises(EngineUnavailable):
            call(deadline)
        return deadline.remaining()

    with ThreadPoolExecutor(len(calls)) as threads:
        assert all(threads.map(left_after, calls))


def test_calls_recover_after_the_server_is_killed_and_restarted(server: PostgresqlServer, opened: Opened) -> None:
    store = opened(server.new_schema())
    create(store, kept := identity("kept", "x"))
    server.kill()
    all_unavailable_in_time(store)
    server.start()
    until_back(lambda: owner(store, "x", deadline_in(TIMEOUT)))
    assert store.read(POOL, [login("x")]).owners == {login("x"): kept}


def test_a_server_that_is_restarted_between_two_calls_fails_neither(server: PostgresqlServer, opened: Opened) -> None:
    store = opened(server.new_schema())
    create(store, identity("kept", "x"))
    several = 4
    with ThreadPoolExecutor(several) as threads:
        list(threads.map(lambda _: store.read(POOL, [login("x")]), range(several)))
        server.stop()
        server.start()
        create(store, identity("new", "y"))
        found = list(threads.map(lambda _: owner(store, "x"), range(several)))
    assert found == ["eu-west-1:kept"] * several


def test_calls_recover_when_a_hung_server_continues(server: PostgresqlServer, opened: Opened) -> None:
    store = opened(server.new_schema())
    create(store, identity("kept", "x"))
    server.signal(signal.SIGSTOP)
    try:
        all_unavailable_in_time(store)
        all_unavailable_in_time(store)  # no connection is left, and no new one is possible
    finally:
        server.signal(signal.SIGCONT)
    until_back(lambda: owner(store, "x", deadline_in(TIMEOUT)))
    assert owner(store, "x") == "eu-west-1:kept"


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.BLOCKED, Fault.HALF_OPEN])
def test_calls_recover_after_the_network_recovers(distant: Store, proxy: FaultProxy, fault: Fault) -> None:
    create(distant, kept := identity("kept", "x"))
    proxy.be(fault)
    all_unavailable_in_time(distant)
    proxy.be(Fault.NONE)
    until_back(lambda: owner(distant, "x", deadline_in(TIMEOUT)))
    assert distant.read(POOL, [login("x")]).owners == {login("x"): kept}


def test_a_commit_with_a_lost_response_is_reported_as_unknown_and_not_repeated(
    distant: Store, proxy: FaultProxy
) -> None:
    proxy.lose_answer_to(b"COMMIT")
    with pytest.raises(EngineUnavailable, match="not known whether the change was made"):
        create(distant, made := identity("made", "x"))
    assert proxy.lost.is_set()
    assert owner(distant, "x") == made.identity_id
    proxy.lose_answer_to(b"COMMIT")
    with pytest.raises(EngineUnavailable, match="not known"):
        distant.commit(Change(made, replace(made, disabled=True)), deadline=deadline_in(30))
    changed = distant.read(POOL, [login("x")]).owners[login("x")]
    assert (changed.disabled, changed.revision) == (True, made.revision + 1)


def test_a_retry_of_a_call_with_an_unknown_commit_has_the_same_result(
    distant: Store, proxy: FaultProxy, tmp_path: Path
) -> None:
    with closing(LocalEngineUnderTest(tmp_path)) as local:
        engine = LocalEngine(local.pool, distant, local.signer, local.clock, new_guid, nullcontext)

        def token(user: str) -> IssuedToken:
            request = TokenRequest(local.pool.identity_pool_id, {DEVELOPER: Secret(user)})
            return engine.get_open_id_token_for_developer_identity(request, deadline_in(30))

        def merge() -> str:
            request = MergeRequest(local.pool.identity_pool_id, DEVELOPER, Secret("u"), Secret("v"))
            return engine.merge_developer_identities(request, deadline_in(30))

        proxy.lose_answer_to(b"COMMIT")
        with pytest.raises(EngineUnavailable, match="not known"):
            token("u")
        assert token("u").outcome is IdentityOutcome.RETRIEVED
        v = token("v").identity_id
        proxy.lose_answer_to(b"COMMIT")
        with pytest.raises(EngineUnavailable, match="not known"):
            merge()
        assert merge() == token("u").identity_id == v
    found = distant.identities(POOL, max_results=60, after=None, hide_disabled=False)
    assert sorted(len(each.logins) for each in found) == [0, 2]


def test_a_connection_that_is_lost_before_its_commit_changes_nothing(distant: Store, proxy: FaultProxy) -> None:
    create(distant, read := identity("a", "x"))
    proxy.lose_answer_to(b"UPDATE")
    with pytest.raises(EngineUnavailable, match="does not answer"):
        distant.commit(Change(read, replace(read, disabled=True)), deadline=deadline_in(30))
    assert distant.read(POOL, [login("x")]).owners == {login("x"): read}


def test_a_known_user_takes_one_round_trip(distant: Store, proxy: FaultProxy) -> None:
    create(distant, identity("a", "x"))
    owner(distant, "x")
    before = proxy.requests
    for _ in range(5):
        owner(distant, "x")
    assert proxy.requests - before == 5


def test_queries_over_all_rows_may_exceed_the_timeout_of_calls(postgresql: PostgresqlServer, opened: Opened) -> None:
    url = postgresql.new_schema()
    store = opened(url, timeout_seconds=1)
    create(store, identity("a", "x"))
    with psycopg.connect(url) as other, ThreadPoolExecutor(1) as threads:
        other.execute("LOCK TABLE identities IN ACCESS EXCLUSIVE MODE")
        querying = threads.submit(store.pools_with_identities)
        with pytest.raises(EngineUnavailable):
            store.identities(POOL, max_results=1, after=None, hide_disabled=False)
        other.rollback()
        assert querying.result() == {POOL}


def test_a_commit_acknowledged_with_a_warning_is_reported_as_unknown(
    postgresql: PostgresqlServer, opened: Opened
) -> None:
    url = postgresql.new_schema()
    store = opened(url)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE WARNING 'not replicated'; RETURN NULL; END $$"
        )
        other.execute(
            "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON identities DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION warn()"
        )
    with pytest.raises(EngineUnavailable, match="not known whether the change was made"):
        create(store, identity("a", "x"))
    assert owner(store, "x") == "eu-west-1:a"


def test_the_error_of_a_statement_shows_none_of_its_values(postgresql: PostgresqlServer, opened: Opened) -> None:
    url, user = postgresql.new_schema(), "canary"
    store = opened(url)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("ALTER TABLE linked_logins RENAME TO away")
    with pytest.raises(EngineUnavailable, match=r"not answer \(UndefinedTable\)") as failed:
        create(store, identity("a", user))
    assert user not in "".join(traceback.format_exception(failed.value))


def test_an_interrupted_commit_takes_no_connection_from_others(
    postgresql: PostgresqlServer, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_connection: BoundedConnection) -> NoReturn:
        raise KeyboardInterrupt

    store = opened(postgresql.new_schema(), max_connections=2)
    with monkeypatch.context() as patch:
        patch.setattr(BoundedConnection, "commit", interrupted)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                create(store, identity("a", "x"))
    create(store, identity("a", "x"))
    assert owner(store, "x") == "eu-west-1:a"
