"""The database file is moved, deleted or replaced while an engine uses it."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.files import mode
from tests.support.local_engine import LocalEngineUnderTest

from tokend_server.engines.local.stores.sqlite.store import open_store
from tokend_server.errors import EngineUnavailable


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "tokend.db"


def moved(database: Path) -> None:
    database.rename(database.with_suffix(".aside"))


def deleted(database: Path) -> None:
    database.unlink()


def replaced_by_a_copy(database: Path) -> None:
    copy = database.with_suffix(".copy")
    shutil.copyfile(database, copy)
    copy.replace(database)


def replaced_by_a_new_one(database: Path) -> None:
    for file in database.parent.glob("tokend.db*"):
        file.unlink()
    store = open_store(database)
    store.migrate()
    store.close()


def directory_moved(database: Path) -> None:
    database.parent.rename(database.parent.with_suffix(".aside"))


def log_deleted(database: Path) -> None:
    database.with_name("tokend.db-wal").unlink()


REPLACED = [moved, deleted, replaced_by_a_copy, replaced_by_a_new_one, directory_moved]


@pytest.fixture
def calls(local: LocalEngineUnderTest) -> dict[str, Callable[[], object]]:
    identity_id = local.identity_of("known")
    local.identity_of("other")
    return {
        "a token of a known user": lambda: local.issue("known"),
        "a lookup": lambda: local.users_of(identity_id),
        "a token of a new user": lambda: local.issue("new"),
        "a merge": lambda: local.merge("other", "known"),
        "an unlink": lambda: local.unlink(identity_id, "known"),
        "a check": local.backend.check,
    }


@pytest.mark.parametrize("change", REPLACED)
def test_no_call_uses_a_moved_or_replaced_file(
    calls: dict[str, Callable[[], object]], database: Path, change: Callable[[Path], None]
) -> None:
    change(database)
    for name, call in calls.items():
        with pytest.raises(EngineUnavailable, match=r"identity store's file (is gone|was replaced)") as caught:
            call()
        assert caught.value.advice, name


def test_nothing_is_written_into_a_deleted_log(calls: dict[str, Callable[[], object]], database: Path) -> None:
    log_deleted(database)
    for name in ("a token of a new user", "a merge", "an unlink", "a check"):
        with pytest.raises(EngineUnavailable, match="identity store's file is gone"):
            calls[name]()


@pytest.mark.parametrize("moment", range(3))
def test_a_commit_to_a_moved_file_is_not_acknowledged(
    local: LocalEngineUnderTest, database: Path, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = local.store._file.check_with_log  # noqa: SLF001 - a moment that only the store knows
    checks = iter(range(3))

    def checked() -> None:
        if next(checks) == moment:
            moved(database)
        check()

    monkeypatch.setattr(local.store._file, "check_with_log", checked)  # noqa: SLF001 - as above
    with pytest.raises(EngineUnavailable, match="is gone"):
        local.issue("new")


def test_a_link_changed_to_another_directory_is_detected(tmp_path: Path) -> None:
    one, other, link = tmp_path / "one", tmp_path / "other", tmp_path / "link"
    one.mkdir()
    other.mkdir()
    link.symlink_to(one)
    local = LocalEngineUnderTest(link)
    local.issue("known")
    shutil.copytree(one, other, dirs_exist_ok=True)
    link.unlink()
    link.symlink_to(other)
    with pytest.raises(EngineUnavailable, match="was replaced"):
        local.issue("known")
    local.close()


@pytest.fixture
def linked(tmp_path: Path) -> Iterator[LocalEngineUnderTest]:
    """An engine whose database path is a link."""
    directory = tmp_path / "of the link"
    directory.mkdir()
    (directory / "tokend.db").symlink_to(tmp_path / "tokend.db")
    local = LocalEngineUnderTest(directory)
    yield local
    local.close()


def test_a_link_to_the_database_file_can_be_used(linked: LocalEngineUnderTest, database: Path) -> None:
    identity_id = linked.identity_of("known")
    linked.backend.check()
    assert linked.identity_of("known") == identity_id
    assert mode(database) == 0o600


@pytest.mark.parametrize("change", [*REPLACED[:-1], log_deleted])
def test_changes_of_a_linked_database_file_are_detected(
    linked: LocalEngineUnderTest, database: Path, change: Callable[[Path], None]
) -> None:
    linked.issue("known")
    change(database)
    with pytest.raises(EngineUnavailable, match=r"identity store's file (is gone|was replaced)"):
        linked.issue("new")


def test_the_engine_serves_again_when_the_file_is_back(
    local: LocalEngineUnderTest, calls: dict[str, Callable[[], object]], database: Path
) -> None:
    identity_id = local.identity_of("known")
    moved(database)
    with pytest.raises(EngineUnavailable):
        local.issue("known")
    database.with_suffix(".aside").rename(database)
    assert local.identity_of("known") == identity_id
    for call in calls.values():
        call()


_READS_A_FILE_THAT_IS_CUT_OFF = """
import os, sqlite3, sys
from pathlib import Path
from tokend_server.clock import Deadline, SystemClock
from tokend_server.engines.local.store import Change
from tokend_server.engines.local.stores.sqlite.store import open_store
from tokend_server.errors import EngineUnavailable
from tokend_server.model import Identity, Login, Secret

path = Path(sys.argv[1])
logins = [Login("p", Secret(f"user {number}")) for number in range(500)]
with sqlite3.connect(path) as other:
    path.chmod(0o600)
    store = open_store(path)
    store.migrate()
    changes = [Change(None, Identity(f"r:{n}", "r:pool", 1, 1, frozenset({l}))) for n, l in enumerate(logins)]
    store.commit(*changes, deadline=Deadline(SystemClock()))
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert store.owners("r:pool", logins[:1]) == ["r:0"]
    os.truncate(path, 4096)
    failures = 0
    for login in logins:
        try:
            store.owners("r:pool", [login])
        except EngineUnavailable:
            failures += 1
    print(failures > 0)
"""


def test_a_file_that_is_cut_off_fails_calls_and_not_the_process(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _READS_A_FILE_THAT_IS_CUT_OFF, str(tmp_path / "tokend.db")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "True\n"), ended.stderr
