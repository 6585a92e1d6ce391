"""A start with a database that is locked, accessible to others, or of another developer provider."""

import errno
import fcntl
import logging
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from logging.handlers import QueueHandler
from pathlib import Path
from queue import SimpleQueue
from typing import TypeAlias

import pytest
from prometheus_client import CollectorRegistry
from tests.support.local_engine import DEVELOPER, POOL, LocalEngineUnderTest
from tests.support.statements import executed_statements

from tokend_server.clock import SystemClock
from tokend_server.config import Config, Pool, Store
from tokend_server.engines.local.build import build_local_engines
from tokend_server.engines.local.developer_providers import keep_developer_providers
from tokend_server.engines.local.stores.sqlite import store as sqlite
from tokend_server.engines.local.stores.sqlite.store import open_store
from tokend_server.errors import ConfigError, EngineUnavailable
from tokend_server.metrics import Metrics

TIMEOUT = 20

Lock: TypeAlias = Callable[[Path], AbstractContextManager[None]]


@pytest.fixture
def warnings_logged() -> Iterator[SimpleQueue[logging.LogRecord]]:
    """The log records of the store."""
    records: SimpleQueue[logging.LogRecord] = SimpleQueue()
    handler = QueueHandler(records)
    logger = logging.getLogger("tokend_server.engines.local.stores")
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


@contextmanager
def directory_locked(database: Path) -> Iterator[None]:
    descriptor = os.open(database.parent, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


@contextmanager
def file_locked(database: Path) -> Iterator[None]:
    database.touch(mode=0o600)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


def opened_and_migrated(database: Path) -> list[str]:
    with closing(open_store(database)) as store:
        return store.migrate()


@pytest.mark.parametrize("locked", [directory_locked, file_locked])
def test_a_start_that_waits_for_a_lock_is_logged(
    tmp_path: Path, warnings_logged: SimpleQueue[logging.LogRecord], locked: Lock
) -> None:
    database = tmp_path / "tokend.db"
    with ThreadPoolExecutor(1) as pool:
        with locked(database):
            starting = pool.submit(opened_and_migrated, database)
            assert "waiting for the database" in warnings_logged.get(timeout=TIMEOUT).message
            assert not starting.done()
        assert starting.result(TIMEOUT)


def test_a_migration_that_waits_for_a_write_is_logged(
    tmp_path: Path, warnings_logged: SimpleQueue[logging.LogRecord]
) -> None:
    database = tmp_path / "tokend.db"
    with closing(open_store(database)) as store, ThreadPoolExecutor(1) as pool:
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            migrating = pool.submit(store.migrate)
            assert "waiting for the store" in warnings_logged.get(timeout=TIMEOUT).message
            other.execute("ROLLBACK")
        assert migrating.result(TIMEOUT)


@pytest.mark.parametrize("locked", [directory_locked, file_locked])
def test_a_start_gives_up_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: Lock) -> None:
    monkeypatch.setattr(sqlite, "START_LOCK_TIMEOUT", 0.2)
    with locked(tmp_path / "tokend.db"), pytest.raises(EngineUnavailable) as caught:
        open_store(tmp_path / "tokend.db")
    assert "is locked" in caught.value.advice


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o666])
def test_a_database_that_everybody_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    database = tmp_path / "token service; it's" / "tokend.db"
    database.parent.mkdir()
    database.touch()
    database.chmod(mode)
    with pytest.raises(ConfigError, match="holds the signing keys and everybody may open it: ") as refused:
        open_store(database)
    subprocess.run(["sh", "-c", str(refused.value).rpartition("it: ")[2]], check=True)
    assert database.stat().st_mode & 0o777 == mode & 0o770


def opened_by_everybody(directory: Path) -> None:
    directory.mkdir()
    (directory / "tokend.db").touch()
    (directory / "tokend.db").chmod(0o666)


def without_its_file(directory: Path) -> None:
    directory.mkdir()
    (directory / "tokend.db-wal").write_text("a log")


def of_another_program(directory: Path) -> None:
    directory.mkdir()
    (directory / "tokend.db").touch(0o600)
    with closing(sqlite3.connect(directory / "tokend.db")) as connection:
        connection.execute("PRAGMA application_id = 1")


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (lambda directory: directory.write_text(""), "{0}/tokend.db: {0} is not a directory"),
        (lambda directory: directory.symlink_to("/proc/none"), "{0}/tokend.db: {0} is not a directory"),
        (opened_by_everybody, "{0}/tokend.db holds the signing keys and everybody"),
        (without_its_file, "{0}/tokend.db is gone or empty"),
        (of_another_program, "{0}/tokend.db is a database of another program"),
    ],
)
def test_problems_of_the_database_file_are_reported_with_its_setting(
    broken: Callable[[Path], object], problem: str, tmp_path: Path
) -> None:
    directory = tmp_path / "data"
    broken(directory)
    settings = {
        "data_dir": Config(data_dir=directory),
        "store.url": Config(store=Store(url=f"sqlite:///{directory}/tokend.db")),
    }
    for setting, config in settings.items():
        with pytest.raises(ConfigError) as refused:
            sqlite.open_configured(config)
        assert str(refused.value).startswith(f"{setting}: {problem.format(directory)}")


def test_a_directory_that_cannot_be_locked_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))  # the error of NFS for a directory

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ConfigError) as refused:
        open_store(tmp_path / "tokend.db")
    assert refused.value.problems == [f"store.url: {tmp_path}/tokend.db: Bad file descriptor"]


def test_a_database_that_a_group_may_open_is_warned_of(
    tmp_path: Path, warnings_logged: SimpleQueue[logging.LogRecord]
) -> None:
    database = tmp_path / "tokend.db"
    database.touch()
    database.chmod(0o660)
    open_store(database).close()
    assert "a group may open the database" in warnings_logged.get(timeout=TIMEOUT).message


def built(directory: Path, **pool: object) -> None:
    """Builds the engine of the pool on the database of `LocalEngineUnderTest`."""
    pools = {POOL: Pool.model_validate({"signing_algorithm": "ES256", **pool})}
    config = Config(data_dir=directory, pools=pools)
    engines = build_local_engines(
        config, pools, "https://x.example", Metrics(CollectorRegistry()), SystemClock(), lambda _: nullcontext()
    )
    engines.close()


def test_another_developer_provider_over_registered_users_is_refused(
    local: LocalEngineUnderTest, tmp_path: Path
) -> None:
    local.issue("u")
    with pytest.raises(ConfigError, match=f"registered under {DEVELOPER} and would get new identity ids"):
        built(tmp_path, developer_provider_name="login.new.example")
    built(tmp_path, developer_provider_name=DEVELOPER)


def test_a_pool_without_users_may_change_its_developer_provider(
    local: LocalEngineUnderTest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    local.guest()
    built(tmp_path, developer_provider_name=DEVELOPER)
    changed = f'pools."{POOL}": the developer provider is login.new.example, and was {DEVELOPER}'
    for warnings in ([changed], [changed]):  # the second start changes nothing
        built(tmp_path, developer_provider_name="login.new.example")
        records = [record for record in caplog.records if record.name.endswith("developer_providers")]
        assert [record.message for record in records] == warnings


def test_a_start_succeeds_after_a_public_provider_is_removed(local: LocalEngineUnderTest, tmp_path: Path) -> None:
    local.issue({DEVELOPER: "u", "idp.example.test": "user i"})
    built(tmp_path, developer_provider_name=DEVELOPER)


def test_logins_of_an_unconfigured_provider_prevent_a_new_developer_provider(
    local: LocalEngineUnderTest, tmp_path: Path
) -> None:
    identity_id = local.identity_of({DEVELOPER: "u", "idp.example.test": "user i"})
    local.unlink(identity_id, "u")
    with pytest.raises(ConfigError, match=r"registered under idp\.example\.test and"):
        built(tmp_path, developer_provider_name="login.new.example")
    configured = {"idp.example.test": {"client_ids": ["a"]}}
    built(tmp_path, developer_provider_name="login.new.example", open_id_connect_providers=configured)


def test_a_pool_with_only_public_logins_may_change_its_developer_provider(
    local: LocalEngineUnderTest, tmp_path: Path
) -> None:
    built(tmp_path, developer_provider_name=DEVELOPER)
    identity_id = local.identity_of({DEVELOPER: "u", "idp.example.test": "user i"})
    local.unlink(identity_id, "u")
    built(tmp_path, developer_provider_name=DEVELOPER)
    built(tmp_path, developer_provider_name="login.new.example")


def test_a_pool_of_an_earlier_release_keeps_its_developer_provider(local: LocalEngineUnderTest, tmp_path: Path) -> None:
    local.issue("u")
    built(tmp_path, developer_provider_name=DEVELOPER)
    with pytest.raises(ConfigError, match=f"registered under {DEVELOPER} and"):
        built(tmp_path, developer_provider_name="login.new.example")
    assert local.store.developer_providers() == {POOL: DEVELOPER}


def test_the_number_of_statements_at_start_does_not_depend_on_the_number_of_pools(tmp_path: Path) -> None:
    def pools(count: int) -> dict[str, Pool]:
        pool = Pool.model_validate({"developer_provider_name": DEVELOPER})
        return {f"eu-west-1:{number:08x}-5a6b-4c7d-8e9f-0a1b2c3d4e5f": pool for number in range(count)}

    costs = []
    for count in (1, 50):
        with closing(open_store(tmp_path / f"{count}.db")) as store:
            store.migrate()
            with executed_statements() as statements:
                for _ in range(2):
                    keep_developer_providers(store, pools(count))
        costs.append(len(statements))
    assert costs[0] == costs[1] > 0
