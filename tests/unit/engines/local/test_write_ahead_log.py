"""The parts of a database that are in its file, and a start with a file that has lost its log."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.local_engine import LocalEngineUnderTest

from tokend_server.engines.local.stores.sqlite.backup import CopyRefused, back_up, restore
from tokend_server.engines.local.stores.sqlite.store import open_store
from tokend_server.engines.local.stores.sqlite.write_ahead_log import Mark, WriteAheadLog, log_size
from tokend_server.engines.local.stores.sqlite.write_turn import NoTurn
from tokend_server.errors import ConfigError, EngineUnavailable


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "tokend.db"


@pytest.fixture
def log(local: LocalEngineUnderTest) -> WriteAheadLog:
    """The log of an open database that was once fully copied into its file."""
    log = local.store.log
    assert isinstance(log, WriteAheadLog)
    assert log.checkpoint()
    return log


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    return directory / "tokend.db"


@pytest.fixture
def crashed(local: LocalEngineUnderTest, log: WriteAheadLog, database: Path, elsewhere: Path) -> Path:
    """A database after its process was killed."""
    assert log.checkpoint()
    local.issue("last")
    for file in (database, Path(f"{database}-wal")):
        shutil.copyfile(file, elsewhere.parent / file.name)
    elsewhere.chmod(0o600)
    return elsewhere


def users(database: Path) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        count: int = connection.execute("SELECT count(*) FROM linked_logins").fetchone()[0]
    return count


def starts(database: Path) -> int:
    """Returns how many users a start finds."""
    with closing(open_store(database)) as store:
        assert not store.missing_migrations()
    return users(database)


def test_a_checkpoint_copies_all_writes_into_the_file(
    local: LocalEngineUnderTest, log: WriteAheadLog, database: Path, elsewhere: Path
) -> None:
    local.issue("u")
    assert log.has_writes()
    assert log.checkpoint()
    assert not log.has_writes()
    shutil.copyfile(database, elsewhere)
    assert users(elsewhere) == 1


def test_a_reader_of_an_older_state_keeps_a_checkpoint_from_being_complete(
    local: LocalEngineUnderTest, log: WriteAheadLog, database: Path
) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM identities").fetchone()
        local.issue("u")
        assert not log.checkpoint()
        assert log.has_writes()
    assert log.checkpoint()


def test_a_checkpoint_waits_for_no_reader_and_no_reader_for_it(
    local: LocalEngineUnderTest, log: WriteAheadLog, database: Path
) -> None:
    identity_id = local.identity_of("u")
    with closing(sqlite3.connect(database, timeout=0)) as reader:
        rows = reader.execute("SELECT 1 FROM identities UNION SELECT 2")
        assert rows.fetchone()
        log.checkpoint()
        assert local.identity_of("u") == identity_id


def test_a_checkpoint_fails_while_another_process_writes(
    local: LocalEngineUnderTest, log: WriteAheadLog, database: Path
) -> None:
    local.issue("u")
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(EngineUnavailable, match=r"log could not be written back \(SQLITE_BUSY\)"):
            log.checkpoint()
        assert log.has_writes()
    assert log.checkpoint()


def test_writes_of_another_process_are_detected(log: WriteAheadLog, tmp_path: Path) -> None:
    log.has_writes_of_others()
    assert not log.has_writes_of_others()
    with closing(LocalEngineUnderTest(tmp_path)) as other:
        other.issue("u")
    assert log.has_writes_of_others()
    assert not log.has_writes(), "this process has written nothing"


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.rename(path.with_suffix(".aside"))])
def test_a_checkpoint_fails_if_the_database_file_is_gone(
    log: WriteAheadLog, database: Path, change: Callable[[Path], None]
) -> None:
    change(database)
    with pytest.raises(EngineUnavailable, match="is gone"):
        log.checkpoint()


def log_deleted(database: Path) -> None:
    Path(f"{database}-wal").unlink()


def log_emptied(database: Path) -> None:
    Path(f"{database}-wal").write_bytes(b"")


@pytest.mark.parametrize("lose", [log_deleted, log_emptied])
def test_a_database_that_lost_its_log_is_refused(crashed: Path, lose: Callable[[Path], None]) -> None:
    lose(crashed)
    for _ in range(2):
        with pytest.raises(ConfigError, match="the latest users would get new identity"):
            open_store(crashed)
    with pytest.raises(CopyRefused, match="lacks the last writes"):
        back_up(crashed, crashed.with_suffix(".copy"))
    with pytest.raises(CopyRefused, match="lacks the last writes"):
        restore(crashed, crashed.with_suffix(".new"))


@pytest.fixture
def link(crashed: Path, tmp_path: Path) -> Path:
    link = tmp_path / "link.db"
    link.symlink_to(crashed)
    return link


def test_a_database_behind_a_link_has_its_log_beside_it(link: Path) -> None:
    assert starts(link) == 1


def test_a_database_behind_a_link_that_lost_its_log_is_refused(crashed: Path, link: Path) -> None:
    log_deleted(crashed)
    with pytest.raises(ConfigError, match=f"its log {crashed}-wal is missing"):
        open_store(link)
    with pytest.raises(CopyRefused, match=f"put {crashed}-wal next to it"):
        restore(link, crashed.with_suffix(".new"))


def test_a_database_that_lost_its_log_can_be_restored_without_it(crashed: Path) -> None:
    log_deleted(crashed)
    aside = crashed.rename(crashed.with_suffix(".aside"))
    restore(aside, crashed, without_log=True)
    assert starts(crashed) == 0


def test_a_plain_copy_of_a_database_in_use_is_no_backup(
    local: LocalEngineUnderTest, log: WriteAheadLog, database: Path, elsewhere: Path
) -> None:
    local.issue("u")
    log.checkpoint()
    shutil.copyfile(database, elsewhere)
    elsewhere.chmod(0o600)
    with pytest.raises(ConfigError, match=r"its log .*-wal is missing"):
        open_store(elsewhere)


def test_a_database_of_a_killed_process_starts(crashed: Path) -> None:
    assert starts(crashed) == 1


def test_a_database_that_another_program_has_mended_after_a_crash_starts(crashed: Path) -> None:
    with closing(sqlite3.connect(crashed)) as shell:
        assert shell.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not Path(f"{crashed}-wal").exists()
    assert starts(crashed) == 1


def backed_up_first(database: Path) -> int:
    back_up(database, database.with_suffix(".backup"))
    return starts(database)


def test_a_database_starts_after_its_process_is_killed_during_a_checkpoint(
    local: LocalEngineUnderTest, log: WriteAheadLog, database: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.issue("u")
    set_mark = log._set  # noqa: SLF001 - a moment that only the log knows

    def stopped(mark: Mark) -> None:
        if mark is Mark.COMPLETE:
            raise NoTurn
        set_mark(mark)

    with monkeypatch.context() as patch:
        patch.setattr(log, "_set", stopped)
        with pytest.raises(EngineUnavailable):
            log.checkpoint()
    for use in (starts, backed_up_first):
        for file in (database, Path(f"{database}-wal")):
            shutil.copyfile(file, elsewhere.parent / file.name)
        elsewhere.chmod(0o600)
        assert use(elsewhere) == 1
        assert not log_size(elsewhere), "whoever closes it last copies the log, and what is in it of a mark"
        assert starts(elsewhere) == 1
    assert log.checkpoint(), "the mark is taken away at the next one"


def test_a_database_starts_after_a_stop_with_an_incomplete_checkpoint(
    local: LocalEngineUnderTest, log: WriteAheadLog, database: Path
) -> None:
    local.issue("u")
    set_mark = log._set  # noqa: SLF001 - a moment that only the log knows

    def locked_by_another_process(mark: Mark) -> None:
        if mark is Mark.LACKS_LOG:
            set_mark(mark)
            return
        with closing(sqlite3.connect(database, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            set_mark(mark)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "_set", locked_by_another_process)
        with pytest.raises(EngineUnavailable, match="SQLITE_BUSY"):
            log.checkpoint()
    local.close()
    assert starts(database) == 1


def copied_after_a_clean_stop(local: LocalEngineUnderTest, database: Path, copy: Path) -> None:
    local.close()
    shutil.copyfile(database, copy)


def backed_up(_local: LocalEngineUnderTest, database: Path, copy: Path) -> None:
    back_up(database, copy)


def vacuumed(_local: LocalEngineUnderTest, database: Path, copy: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))


def restored(_local: LocalEngineUnderTest, database: Path, copy: Path) -> None:
    back_up(database, copy.with_suffix(".backup"))
    restore(copy.with_suffix(".backup"), copy)


def of_an_earlier_release(local: LocalEngineUnderTest, database: Path, copy: Path) -> None:
    copied_after_a_clean_stop(local, database, copy)
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA application_id = 0")


@pytest.mark.parametrize(
    "make", [copied_after_a_clean_stop, backed_up, vacuumed, restored, of_an_earlier_release], ids=lambda f: f.__name__
)
def test_a_complete_copy_starts(
    local: LocalEngineUnderTest,
    log: WriteAheadLog,
    database: Path,
    elsewhere: Path,
    make: Callable[[LocalEngineUnderTest, Path, Path], None],
) -> None:
    local.issue("before")
    log.checkpoint()
    local.issue("after")
    make(local, database, elsewhere)
    elsewhere.chmod(0o600)
    assert starts(elsewhere) == 2
    assert starts(elsewhere) == 2, "and again"


@pytest.fixture
def left_log(database: Path) -> Iterator[Path]:
    log = Path(f"{database}-wal")
    log.write_bytes(b"what was committed")
    yield log
    assert log.exists()


@pytest.mark.usefixtures("left_log")
@pytest.mark.parametrize("exists", [True, False])
def test_a_log_without_its_database_is_not_thrown_away(tmp_path: Path, database: Path, *, exists: bool) -> None:
    if exists:
        database.touch(mode=0o600)
    with pytest.raises(ConfigError, match=r"gone or empty, and its log .* is not"):
        open_store(database)
    with closing(open_store(tmp_path / "other.db")) as other:
        other.migrate()
    with pytest.raises(CopyRefused, match="--force"):
        restore(tmp_path / "other.db", database)
    assert database.exists() == exists


def without_tables(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")


def with_tables_of_another_program(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE recipes (name TEXT)")


def with_the_name_of_another_program(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA application_id = 1196444487")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (without_tables, "a database without a table"),
        (with_tables_of_another_program, "a database of another program"),
        (with_the_name_of_another_program, "a database of another program"),
    ],
)
def test_a_file_that_is_no_database_of_the_service_is_left_alone(
    database: Path, make: Callable[[sqlite3.Connection], None], problem: str
) -> None:
    with closing(sqlite3.connect(database)) as connection:
        make(connection)
    database.chmod(0o600)
    before = database.read_bytes()
    with pytest.raises(ConfigError, match=problem):
        open_store(database)
    assert database.read_bytes() == before


def test_an_empty_file_and_a_file_without_migrations_are_new_databases(database: Path) -> None:
    database.touch(mode=0o600)
    for _ in range(2):
        open_store(database).close()
    with closing(open_store(database)) as store:
        assert store.migrate()
