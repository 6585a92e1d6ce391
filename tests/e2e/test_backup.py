"""`tokend backup` and `tokend restore` with real servers."""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.support.calls import Caller
from tests.support.files import mode
from tests.support.local_engine import LocalEngineUnderTest
from tests.support.server_process import ServerProcess, write_config
from tests.support.tokend import done, failed, run

from tokend_server.clock import Deadline, SystemClock

TIMEOUT = 60

USERS = [f"user-{number}" for number in range(20)]


def identities_of(server: ServerProcess) -> dict[str, str]:
    with closing(Caller(server)) as caller:
        return {user: caller.get_token(user).identity_id for user in USERS}


def key_ids(config: Path) -> list[str]:
    return [key["KeyId"] for key in done("keys", "list", "--config", str(config))["Keys"]]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("serving"))


@pytest.fixture(scope="module")
def serving(config: Path) -> Iterator[ServerProcess]:
    """A server that serves while backups are created."""
    with ServerProcess(config) as server:
        yield server


@pytest.fixture
def other_config(tmp_path: Path) -> Path:
    """The configuration of a second machine: another directory, no database yet."""
    (tmp_path / "other").mkdir()
    return write_config(tmp_path / "other")


@pytest.fixture(scope="module")
def first_copy(config: Path, serving: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a service that has issued tokens, and is still running."""
    identities_of(serving)
    file = tmp_path_factory.mktemp("copy") / "copy.db"
    run("backup", "--config", str(config), str(file)).check_returncode()
    return file


@pytest.fixture
def copy(first_copy: Path, tmp_path: Path) -> Path:
    """The same, for one test only."""
    return Path(shutil.copy2(first_copy, tmp_path / "copy.db"))


@pytest.fixture
def others(other_config: Path) -> Path:
    """The database of the second machine, with separate keys and identities."""
    with closing(LocalEngineUnderTest(other_config.parent)) as local:
        local.issue("theirs")
    return other_config.parent / "tokend.db"


def users_in(database: Path) -> int:
    """Returns how many users a file has; 0 if it was copied during a checkpoint."""
    with closing(sqlite3.connect(database)) as connection, suppress(sqlite3.DatabaseError):
        count: int = connection.execute("SELECT count(*) FROM linked_logins").fetchone()[0]
        return count
    return 0


def test_a_backup_of_a_running_server_holds_all_that_was_acknowledged(
    config: Path, serving: ServerProcess, other_config: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    acknowledged = identities_of(serving)
    ended = run("backup", "--config", str(config), str(copy))
    assert (ended.stdout, ended.stderr, ended.returncode) == ("identities: 20, signing keys: 1\n", "", 0)
    assert mode(copy) == 0o600
    restored = run("restore", "--config", str(other_config), str(copy))
    assert (restored.stdout, restored.stderr, restored.returncode) == (ended.stdout, "", 0)
    assert key_ids(other_config) == key_ids(config)
    with ServerProcess(other_config) as server:
        assert identities_of(server) == acknowledged
    assert {mode(file) for file in other_config.parent.glob("tokend.db*")} == {0o600}


def test_the_database_file_without_its_log_soon_has_all_users(
    serving: ServerProcess, config: Path, tmp_path: Path
) -> None:
    database = config.parent / "tokend.db"
    identities_of(serving)
    within = Deadline(SystemClock(), SystemClock.monotonic() + TIMEOUT)
    while users_in(shutil.copyfile(database, tmp_path / "plain.db")) < len(USERS):
        within.check()


def test_a_killed_server_starts_again_with_its_log_and_not_without(tmp_path: Path) -> None:
    config, database = write_config(tmp_path), tmp_path / "tokend.db"
    server = ServerProcess(config)
    acknowledged = identities_of(server)
    server.kill()
    kept = shutil.copytree(tmp_path, tmp_path / "kept")
    (tmp_path / "tokend.db-wal").unlink()
    error = failed("serve", "--config", str(config), TOKEND_LOG_LEVEL="error")
    assert len(error.splitlines()) == 1
    assert f"{database} was in use, and its log {database}-wal is missing" in error
    for file in kept.glob("tokend.db*"):
        shutil.copyfile(file, tmp_path / file.name)
    with ServerProcess(config) as server:
        assert identities_of(server) == acknowledged


def test_a_backup_is_one_file(first_copy: Path) -> None:
    assert list(first_copy.parent.iterdir()) == [first_copy]


def test_a_backup_replaces_a_file_only_by_force(config: Path, copy: Path) -> None:
    before = copy.read_bytes()
    assert failed("backup", "--config", str(config), str(copy)) == f"Error: {copy} exists; --force replaces it\n"
    assert copy.read_bytes() == before
    run("backup", "--config", str(config), "--force", str(copy)).check_returncode()
    assert mode(copy) == 0o600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_backup_that_a_signal_ends_leaves_nothing(number: signal.Signals, others: Path, tmp_path: Path) -> None:
    (directory := tmp_path / "copies").mkdir()
    # As in the middle of a copy that takes long: the file is there, and its journal.
    program = (
        "import os, time\n"
        "from tokend_server.engines.local.stores.sqlite import backup\n"
        "def copy(source, target):\n"
        "    target.execute('CREATE TABLE begun (one)')\n"
        "    target.execute('BEGIN IMMEDIATE')\n"
        "    target.execute('INSERT INTO begun VALUES (1)')\n"
        "    print(os.listdir('.'), flush=True)\n"
        f"    os.kill(os.getpid(), {number})\n"
        f"    time.sleep({TIMEOUT})\n"
        "backup._copy = copy\n"
        "from tokend_server.__main__ import main\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "backup", "--config", str(others.parent / "tokend.toml"), "copy.db"],
        cwd=directory,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (-number, "")
    assert ended.stdout.count(".copy.db.") == 2
    assert [*directory.iterdir()] == []


@pytest.mark.parametrize("content", [None, b""], ids=["no file", "empty file"])
def test_a_missing_database_is_not_backed_up(tmp_path: Path, content: bytes | None) -> None:
    config, database = write_config(tmp_path), tmp_path / "tokend.db"
    if content is not None:
        database.write_bytes(content)
    error = failed("backup", "--config", str(config), str(tmp_path / "copy.db"))
    assert error == f"Error: {database}: there is no database\n"
    assert not (tmp_path / "copy.db").exists()
    assert database.exists() == (content is not None)


def test_a_backup_that_cannot_be_written_is_reported(config: Path, copy: Path) -> None:
    file = copy.parent / "absent" / "copy.db"
    assert failed("backup", "--config", str(config), str(file)) == f"Error: {file}: No such file or directory\n"


def linked(database: Path) -> Path:
    link = database.with_name("link.db")
    link.symlink_to(database)
    return link


def hard_linked(database: Path) -> Path:
    link = database.with_name("link.db")
    link.hardlink_to(database)
    return link


PLACES_OF_THE_DATABASE: Mapping[str, Callable[[Path], Path]] = {
    "its own": lambda database: database,
    "by a detour": lambda database: database.parent / ".." / database.parent.name / database.name,
    "linked": linked,
    "hard-linked": hard_linked,
}


def assert_not_backed_up_to(file: Path, config: Path, database: Path) -> None:
    before, number = database.read_bytes(), database.stat().st_ino
    error = failed("backup", "--config", str(config), "--force", str(file))
    assert error == f"Error: {file} is the database itself, or a file of SQLite's for it: name another file\n"
    assert (database.read_bytes(), database.stat().st_ino) == (before, number)


@pytest.mark.parametrize("place", PLACES_OF_THE_DATABASE)
def test_a_backup_to_the_database_itself_is_rejected(other_config: Path, others: Path, place: str) -> None:
    assert_not_backed_up_to(PLACES_OF_THE_DATABASE[place](others), other_config, others)


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_backup_to_one_of_sqlites_own_files_is_rejected(other_config: Path, others: Path, suffix: str) -> None:
    assert_not_backed_up_to(others.with_name(f"{others.name}{suffix}"), other_config, others)


@pytest.mark.parametrize("place", PLACES_OF_THE_DATABASE)
def test_the_database_is_not_restored_from_itself(other_config: Path, others: Path, place: str) -> None:
    file = PLACES_OF_THE_DATABASE[place](others)
    before = others.read_bytes()
    error = failed("restore", "--config", str(other_config), "--force", str(file))
    assert error == f"Error: {file} is the database itself, not a copy of it\n"
    assert others.read_bytes() == before


def test_a_backup_does_not_replace_a_pipe(other_config: Path, others: Path, tmp_path: Path) -> None:
    assert others.exists()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert failed("backup", "--config", str(other_config), "--force", str(pipe)) == (
        f"Error: {pipe} is not a regular file\n"
    )
    assert pipe.is_fifo()


@pytest.mark.parametrize("opened", ["pipe", "copy.db"])
def test_a_backup_does_not_replace_the_name_of_a_standard_stream(
    other_config: Path, others: Path, tmp_path: Path, opened: str
) -> None:
    assert others.exists()
    os.mkfifo(tmp_path / "pipe")
    descriptor = os.open(tmp_path / opened, os.O_RDWR | os.O_CREAT)
    name = tmp_path / "stdout"
    name.symlink_to(f"/proc/self/fd/{descriptor}")
    try:
        error = failed("backup", "--config", str(other_config), "--force", str(name))
    finally:
        os.close(descriptor)
    assert error == f"Error: {name} is not a regular file\n"
    assert name.is_symlink()


def test_a_backup_replaces_no_link_to_a_pipe(other_config: Path, others: Path, tmp_path: Path) -> None:
    assert others.exists()
    os.mkfifo(tmp_path / "pipe")
    link = tmp_path / "link"
    link.symlink_to("pipe")
    assert failed("backup", "--config", str(other_config), "--force", str(link)) == (
        f"Error: {link} is not a regular file\n"
    )
    assert link.is_symlink()


def test_a_link_to_nothing_is_replaced_only_by_force(other_config: Path, others: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("nothing")
    assert failed("backup", "--config", str(other_config), str(link)) == f"Error: {link} exists; --force replaces it\n"
    run("backup", "--config", str(other_config), "--force", str(link)).check_returncode()
    assert users_in(link) == users_in(others)


def test_a_file_system_without_hard_links_takes_a_backup(
    other_config: Path, others: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(_source: Path, target: Path) -> None:
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))  # as VFAT and s3fs say it

    monkeypatch.setattr(os, "link", no_links)
    copy = tmp_path / "copy.db"
    run("backup", "--config", str(other_config), str(copy)).check_returncode()
    assert (users_in(copy), mode(copy)) == (users_in(others), 0o600)
    before = copy.read_bytes()
    monkeypatch.setattr(os.path, "lexists", lambda _path: False)  # it was made meanwhile
    assert failed("backup", "--config", str(other_config), str(copy)) == f"Error: {copy}: File exists\n"
    assert copy.read_bytes() == before


@pytest.mark.usefixtures("serving")
def test_a_restore_to_a_database_in_use_is_rejected(config: Path, copy: Path) -> None:
    database = config.parent / "tokend.db"
    error = failed("restore", "--config", str(config), "--force", str(copy))
    assert error == f"Error: {database} is in use; stop every process that serves it\n"


def test_a_restore_replaces_a_database_only_by_force(
    config: Path, copy: Path, other_config: Path, others: Path
) -> None:
    before = others.read_bytes()
    error = failed("restore", "--config", str(other_config), str(copy))
    assert error == f"Error: {others} exists; --force replaces its identities and keys\n"
    assert others.read_bytes() == before
    run("restore", "--config", str(other_config), "--force", str(copy)).check_returncode()
    assert key_ids(other_config) == key_ids(config)
    assert users_in(others) == len(USERS)


def test_a_database_without_its_log_is_restored_only_with_the_option_without_log(
    config: Path, serving: ServerProcess, other_config: Path, tmp_path: Path
) -> None:
    identities_of(serving)
    plain = shutil.copyfile(config.parent / "tokend.db", tmp_path / "plain.db")
    assert "plain.db lacks the last writes" in failed("restore", "--config", str(other_config), str(plain))
    run("restore", "--config", str(other_config), "--without-log", str(plain)).check_returncode()
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
        connection.execute("UPDATE schema_compatibility SET oldest_migration = '9999'")


@pytest.mark.parametrize("change", [damaged, truncated, of_another_program, no_database, of_a_newer_release])
def test_an_unusable_backup_does_not_change_the_database(
    copy: Path, other_config: Path, others: Path, change: Callable[[Path], None]
) -> None:
    before = others.read_bytes()
    change(copy)
    error = failed("restore", "--config", str(other_config), "--force", str(copy))
    assert len(error.splitlines()) == 1
    assert {path.name for path in others.parent.iterdir()} == {"tokend.toml", "tokend.db"}
    assert others.read_bytes() == before
