import sqlite3
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.descriptors import no_descriptors_left
from tests.support.local_engine import POOL, LocalEngineUnderTest

from tokend_server.clock import Deadline, SystemClock
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.manager import new_signing_key
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.engines.local.store import Change, login_key
from tokend_server.engines.local.stores.sqlite import write_ahead_log
from tokend_server.engines.local.stores.sqlite.store import READERS, open_store
from tokend_server.errors import ConfigError, DeadlineExceeded, EngineUnavailable
from tokend_server.model import Identity, IdentityOutcome, Login, Secret


def login(user: str, provider: str = "p") -> Login:
    return Login(provider, Secret(user))


def identity(name: str, *users: str, pool: str = POOL) -> Identity:
    return Identity(f"eu-west-1:{name}", pool, 1, 1, frozenset(login(user) for user in users))


def test_a_store_that_breaks_is_unavailable_and_recovers(local: LocalEngineUnderTest, tmp_path: Path) -> None:
    local.issue("u")
    with closing(sqlite3.connect(tmp_path / "tokend.db", isolation_level=None)) as operator:
        operator.execute("ALTER TABLE linked_logins RENAME TO aside")
        operator.execute("ALTER TABLE signing_keys RENAME TO aside_too")
    local.key_refresh.refresh()
    for call in (lambda: local.issue("u"), lambda: local.issue("new"), local.backend.check):
        with pytest.raises(EngineUnavailable, match="The identity store does not answer"):
            call()
    with closing(sqlite3.connect(tmp_path / "tokend.db", isolation_level=None)) as operator:
        operator.execute("ALTER TABLE aside_too RENAME TO signing_keys")
    with pytest.raises(EngineUnavailable, match="The identity store does not answer"):
        local.backend.check()
    with closing(sqlite3.connect(tmp_path / "tokend.db", isolation_level=None)) as operator:
        operator.execute("ALTER TABLE aside RENAME TO linked_logins")
    with pytest.raises(EngineUnavailable, match="The identity store does not answer"):
        local.backend.check()
    local.key_refresh.refresh()
    local.backend.check()
    assert local.issue("u").outcome is IdentityOutcome.RETRIEVED


def test_the_error_of_a_statement_shows_none_of_its_values(local: LocalEngineUnderTest, tmp_path: Path) -> None:
    before, after = identity("a"), identity("a", "u")
    local.store.commit(Change(None, before), deadline=Deadline(local.clock))
    with closing(sqlite3.connect(tmp_path / "tokend.db", isolation_level=None)) as operator:
        operator.execute("ALTER TABLE linked_logins RENAME COLUMN user_identifier TO aside")
    with pytest.raises(EngineUnavailable) as failed:
        local.store.commit(Change(before, after), deadline=Deadline(local.clock))
    assert after.identity_id not in "".join(traceback.format_exception(failed.value))


def test_a_read_that_fails_spoils_no_other(local: LocalEngineUnderTest, tmp_path: Path) -> None:
    identity_id = local.identity_of("u")
    with closing(sqlite3.connect(tmp_path / "tokend.db", isolation_level=None)) as operator:
        operator.execute("ALTER TABLE identities RENAME TO aside")
        with pytest.raises(EngineUnavailable):
            local.users_of(identity_id)
        assert local.identity_of("u") == identity_id
        operator.execute("ALTER TABLE aside RENAME TO identities")
    assert local.users_of(identity_id) == {"u"}


def test_a_directory_that_cannot_be_made_is_a_problem_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"store\.url"):
        open_store(tmp_path / "file" / "tokend.db")


def test_migrations_are_applied_once(tmp_path: Path) -> None:
    store = open_store(tmp_path / "tokend.db")
    assert store.missing_migrations() == ["0001", "0002", "0003", "0004", "0005"]
    assert store.migrate() == ["0001", "0002", "0003", "0004", "0005"]
    assert store.migrate() == []
    assert store.missing_migrations() == []
    store.close()


@given(
    left=st.tuples(st.text(max_size=6), st.text(max_size=6), st.text(max_size=6)),
    right=st.tuples(st.text(max_size=6), st.text(max_size=6), st.text(max_size=6)),
)
def test_different_logins_have_different_keys(left: tuple[str, str, str], right: tuple[str, str, str]) -> None:
    keys = [login_key(pool, Login(provider, Secret(user))) for pool, provider, user in (left, right)]
    assert (keys[0] == keys[1]) == (left == right)


@pytest.mark.parametrize(("left", "right"), [(("ab", "c"), ("a", "bc")), (("a:b", "c"), ("a", "b:c"))])
def test_parts_of_a_login_do_not_run_together(left: tuple[str, str], right: tuple[str, str]) -> None:
    assert login_key(POOL, login(left[1], left[0])) != login_key(POOL, login(right[1], right[0]))


@pytest.mark.parametrize("locked_by", ["another process", "another thread"])
def test_a_write_waits_for_others_no_longer_than_its_deadline(
    local: LocalEngineUnderTest, tmp_path: Path, locked_by: str
) -> None:
    clock = SystemClock()
    deadline = Deadline(clock, clock.monotonic() + 0.1)
    with ExitStack() as locked:
        if locked_by == "another process":
            writer = locked.enter_context(closing(sqlite3.connect(tmp_path / "tokend.db", isolation_level=None)))
            writer.execute("BEGIN IMMEDIATE")
        else:
            inside, release = threading.Event(), threading.Event()

            def hold(_keys: object) -> None:
                inside.set()
                release.wait()

            threads = locked.enter_context(ThreadPoolExecutor(1))
            locked.callback(release.set)
            threads.submit(local.store.remove_signing_key, "none", hold)
            assert inside.wait(30)
        with pytest.raises(DeadlineExceeded):
            local.store.commit(Change(None, identity("a", "x")), deadline=deadline)
    assert local.store.read(POOL, (), "eu-west-1:a").named is None


def test_reads_open_no_file_descriptors_after_the_start(local: LocalEngineUnderTest) -> None:
    identity_id = local.identity_of("u")
    with ThreadPoolExecutor(READERS) as pool:
        start = threading.Barrier(READERS)

        def read() -> str:
            start.wait()
            return local.identity_of("u")

        with no_descriptors_left():
            found = [each.result() for each in [pool.submit(read) for _ in range(READERS)]]
    assert found == [identity_id] * READERS


def test_more_reads_than_connections_wait_for_one_another(local: LocalEngineUnderTest) -> None:
    identity_id = local.identity_of("u")
    with ThreadPoolExecutor(4 * READERS) as pool:
        found = list(pool.map(lambda _: local.identity_of("u"), range(200)))
    assert found == [identity_id] * 200


def test_reads_continue_while_writes_are_stuck(local: LocalEngineUnderTest, tmp_path: Path) -> None:
    known = local.identity_of("known")
    ended: SimpleQueue[str] = SimpleQueue()

    def write(name: str) -> None:
        try:
            local.store.commit(Change(None, identity(name, name)), deadline=local.deadline)
            ended.put("written")
        except EngineUnavailable:
            ended.put("refused")

    writers = [threading.Thread(target=write, args=(f"w{number}",)) for number in range(READERS + 6)]
    with closing(sqlite3.connect(tmp_path / "tokend.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for writer in writers:
            writer.start()
        # One has the turn and READERS wait behind it; the others release their threads at once.
        assert [ended.get(timeout=4) for _ in range(5)] == ["refused"] * 5
        assert ended.empty()
        assert local.identity_of("known") == known
        other.execute("ROLLBACK")
    for writer in writers:
        writer.join()
    assert [ended.get() for _ in range(READERS + 1)] == ["written"] * (READERS + 1)


def test_a_removed_key_is_not_left_in_the_file(local: LocalEngineUnderTest, tmp_path: Path) -> None:
    key = new_signing_key(StoredKeys(), SigningAlgorithm.RS256, generation=1, created=1)
    secret = key.material.reveal().encode()[200:260]
    local.store.add_signing_key(key)
    local.store.remove_signing_key(key.kid, lambda _keys: None)
    local.close()
    assert all(secret not in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_a_removed_key_is_erased_from_files_in_use(local: LocalEngineUnderTest, tmp_path: Path, change: str) -> None:
    key = new_signing_key(StoredKeys(), SigningAlgorithm.RS256, generation=1, created=1)
    fragments = [key.material.reveal().encode()[start : start + 40] for start in range(100, 1500, 200)]
    files = list(tmp_path.glob("tokend.db*"))
    with closing(open_store(tmp_path / "tokend.db")) as command:
        command.add_signing_key(key)
        assert local.store.log.checkpoint()
        assert {file.name for file in files if fragments[0] in file.read_bytes()} == {"tokend.db", "tokend.db-wal"}
        if change == "removed":
            command.remove_signing_key(key.kid, lambda _keys: None)
        else:
            command.replace_material(key, Secret("wrapped"))
        assert local.signer.key_set()
        assert [file.name for file in files for each in fragments if each in file.read_bytes()] == []
    assert local.store.log.checkpoint()


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_a_command_without_a_server_erases_a_removed_key_immediately(
    local: LocalEngineUnderTest, tmp_path: Path, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    """It writes one page, after which the log is not shorter."""
    key = new_signing_key(StoredKeys(), SigningAlgorithm.ES256, generation=2, created=1)
    local.store.add_signing_key(key)
    local.close()
    with closing(open_store(tmp_path / "tokend.db")) as command:
        if change == "removed":
            command.remove_signing_key(key.kid, lambda _keys: None)
        else:
            command.replace_material(key, Secret("wrapped"))
        fragment = key.material.reveal().splitlines()[1].encode()
        assert [file.name for file in tmp_path.glob("tokend.db*") if fragment in file.read_bytes()] == []
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []


def test_a_removed_key_still_in_the_write_ahead_log_is_reported(
    local: LocalEngineUnderTest,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(write_ahead_log, "_ERASE_ATTEMPTS", 2)
    key = new_signing_key(StoredKeys(), SigningAlgorithm.ES256, generation=2, created=1)
    local.store.add_signing_key(key)
    with closing(sqlite3.connect(tmp_path / "tokend.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM signing_keys").fetchone()
        local.store.replace_material(key, Secret("wrapped"))
    (record,) = [record for record in caplog.records if "still contains a removed private key" in record.message]
    assert vars(record)["key_id"] == key.kid
    assert local.store.log.erase_deleted()


def test_several_threads_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / f"{number}.db"
        start = threading.Barrier(4)

        def open_and_migrate(path: Path = path, start: threading.Barrier = start) -> None:
            start.wait()
            with closing(open_store(path)) as store:
                store.migrate()

        with ThreadPoolExecutor(4) as pool:
            for opened in [pool.submit(open_and_migrate) for _ in range(4)]:
                opened.result()


def test_a_newer_schema_is_a_configuration_error(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "tokend.db")) as store:
        store.migrate()
        with closing(sqlite3.connect(tmp_path / "tokend.db", isolation_level=None)) as newer:
            newer.execute("UPDATE alembic_version SET version_num = '9999'")
            newer.execute("UPDATE schema_compatibility SET oldest_migration = '9999'")
        for call in (store.migrate, store.missing_migrations):
            with pytest.raises(ConfigError, match="newer than this release"):
                call()
