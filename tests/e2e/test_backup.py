"""`tokend backup` and `tokend restore` with real servers."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.e2e.test_cli import done, failed, mode, run
from tests.support.calls import Caller
from tests.support.server_process import ServerProcess, write_config

USERS = [f"user-{number}" for number in range(20)]


def identities_of(server: ServerProcess) -> dict[str, str]:
    with closing(Caller(server)) as caller:
        return {user: caller.get_token(user).identity_id for user in USERS}


def key_ids(config: Path) -> list[str]:
    return [key["KeyId"] for key in done("keys", "list", "--config", str(config))["Keys"]]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path)


@pytest.fixture
def other_config(tmp_path: Path) -> Path:
    """The configuration of a second machine: another directory, no database yet."""
    (tmp_path / "other").mkdir()
    return write_config(tmp_path / "other")


@pytest.fixture
def copy(config: Path, tmp_path: Path) -> Iterator[Path]:
    """A backup of a service that has issued tokens, and goes on serving."""
    with ServerProcess(config) as server:
        identities_of(server)
        file = tmp_path / "copy.db"
        run("backup", "--config", str(config), str(file)).check_returncode()
        yield file


def test_a_backup_of_a_running_server_holds_all_that_was_acknowledged(
    config: Path, other_config: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    with ServerProcess(config) as server:
        acknowledged = identities_of(server)
        ended = run("backup", "--config", str(config), str(copy))
    assert (ended.stdout, ended.stderr, ended.returncode) == ("identities: 20, signing keys: 1\n", "", 0)
    assert mode(copy) == 0o600
    restored = run("restore", "--config", str(other_config), str(copy))
    assert (restored.stdout, restored.stderr, restored.returncode) == (ended.stdout, "", 0)
    assert key_ids(other_config) == key_ids(config)
    with ServerProcess(other_config) as server:
        assert identities_of(server) == acknowledged
    assert {mode(file) for file in other_config.parent.glob("tokend.db*")} == {0o600}


def test_a_backup_is_one_file(copy: Path) -> None:
    assert [path.name for path in copy.parent.iterdir() if "copy" in path.name] == ["copy.db"]


def test_a_backup_replaces_a_file_only_by_force(config: Path, copy: Path) -> None:
    before = copy.read_bytes()
    assert failed("backup", "--config", str(config), str(copy)) == f"Error: {copy} exists; --force replaces it\n"
    assert copy.read_bytes() == before
    run("backup", "--config", str(config), "--force", str(copy)).check_returncode()
    assert mode(copy) == 0o600


@pytest.mark.parametrize("content", [None, b""], ids=["no file", "empty file"])
def test_where_there_is_no_database_there_is_no_backup(config: Path, tmp_path: Path, content: bytes | None) -> None:
    database = tmp_path / "tokend.db"
    if content is not None:
        database.write_bytes(content)
    said = failed("backup", "--config", str(config), str(tmp_path / "copy.db"))
    assert said == f"Error: {database}: there is no database\n"
    assert not (tmp_path / "copy.db").exists()
    assert database.exists() == (content is not None)


def test_a_backup_that_cannot_be_written_says_so(config: Path, copy: Path) -> None:
    said = failed("backup", "--config", str(config), str(copy.parent / "absent" / "copy.db"))
    assert "No such file or directory" in said


def test_a_restore_waits_for_no_server_and_disturbs_none(config: Path, copy: Path) -> None:
    database = config.parent / "tokend.db"
    said = failed("restore", "--config", str(config), "--force", str(copy))
    assert said == f"Error: {database} is in use; stop every process that serves it\n"


def test_a_restore_replaces_a_database_only_by_force(config: Path, copy: Path, other_config: Path) -> None:
    with ServerProcess(other_config) as server:
        others = identities_of(server)
    database = other_config.parent / "tokend.db"
    said = failed("restore", "--config", str(other_config), str(copy))
    assert said == f"Error: {database} exists; --force replaces its identities and keys\n"
    with ServerProcess(other_config) as server:
        assert identities_of(server) == others
    run("restore", "--config", str(other_config), "--force", str(copy)).check_returncode()
    assert key_ids(other_config) == key_ids(config)


def damaged(copy: Path) -> None:
    with copy.open("r+b") as file:
        file.seek(copy.stat().st_size // 2)
        file.write(b"\xff" * 4096)


def truncated(copy: Path) -> None:
    os.truncate(copy, 4096 * 3)


def of_another_program(copy: Path) -> None:
    copy.unlink()
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")


def no_database(copy: Path) -> None:
    copy.write_bytes(b"This is no database. " * 1000)


def of_a_newer_release(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


@pytest.mark.parametrize("change", [damaged, truncated, of_another_program, no_database, of_a_newer_release])
def test_what_is_no_good_backup_leaves_the_database_as_it_was(
    copy: Path, other_config: Path, change: Callable[[Path], None], tmp_path: Path
) -> None:
    with ServerProcess(other_config) as server:
        others = identities_of(server)
    bad = tmp_path / "bad.db"
    shutil.copyfile(copy, bad)
    change(bad)
    said = failed("restore", "--config", str(other_config), "--force", str(bad))
    assert len(said.splitlines()) == 1
    with ServerProcess(other_config) as server:
        assert identities_of(server) == others
