"""Backups of the database, made while servers use it, and restored while no server does.

`cp` of the file alone misses the data that are still in the write-ahead log. SQLite's backup API
(https://www.sqlite.org/backup.html) reads one consistent state, the log included.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import NamedTuple
from urllib.parse import quote

from sqlalchemy import URL, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tokend_server.config.stores import SQLITE_FILE_SUFFIXES
from tokend_server.engines.local.stores.sql import migrations
from tokend_server.engines.local.stores.sqlite.database_file import log_of
from tokend_server.engines.local.stores.sqlite.write_ahead_log import Mark, clear_mark, lacks_log, log_size
from tokend_server.process.signals import cleaning_up_on_signal

#: Seconds that a backup waits for another process to let it read.
_READ_TIMEOUT = 5.0


class CopyRefused(Exception):
    """Raised when a backup cannot be made or restored, for the reason in the text; nothing has changed."""


class Contents(NamedTuple):
    """The contents of a backup, in numbers."""

    identities: int
    signing_keys: int


def back_up(database: Path, copy: Path, *, overwrite: bool = False) -> Contents:
    """Copies a snapshot of the database into one file, which only its owner can read, and checks the copy.

    Args:
        database: The database file; servers may use it meanwhile.
        copy: The file to create. It appears when it is complete.
        overwrite: Whether to replace an existing file.

    Raises:
        CopyRefused: There is no such database, the copy cannot be made, or it would replace the database.
        ConfigError: The schema is that of a newer release.
    """
    _check_destination(copy, database, overwrite=overwrite)
    with _naming_in_errors(database), closing(_open(database)) as source:
        _check_schema(database)
        with (
            _naming_in_errors(copy),
            _new_file(copy, overwrite=overwrite) as unfinished,
            closing(sqlite3.connect(unfinished)) as target,
        ):
            with _naming_in_errors(f"{database} to {copy}"):
                _copy(source, target)
            target.execute("PRAGMA journal_mode = DELETE")  # the copy is a single file without a log
            return _checked(target, copy)


def restore(copy: Path, database: Path, *, overwrite: bool = False, without_log: bool = False) -> Contents:
    """Replaces the database by a copy, atomically.

    Args:
        copy: A file that `back_up` has made.
        database: The database file, which no process may use.
        overwrite: Whether to replace the identities and keys in the database.
        without_log: Whether to accept a file that was copied while in use, and lacks the data in its log.

    Raises:
        CopyRefused: The copy is damaged, lacks its log or is not a database of this service, or the database is in use,
            is not empty or is the copy.
        ConfigError: The copy's schema is that of a newer release.
    """
    if _is_file_of(copy, database):
        raise CopyRefused(f"{copy} is the database itself, not a copy of it")
    with _naming_in_errors(copy), closing(_open(copy, without_log=without_log)) as source:
        _check_schema(copy)
        _checked(source, copy)
        if not overwrite and (log_size(database) or (database.exists() and database.stat().st_size)):
            raise CopyRefused(f"{database} exists; --force replaces its identities and keys")
        with _naming_in_errors(database), closing(_locked(database)) as target:
            with _naming_in_errors(f"{copy} to {database}"):
                _copy(source, target)
            return _checked(target, database)


@contextmanager
def _naming_in_errors(what: Path | str) -> Iterator[None]:
    """Adds a file, or the source and the target of a copy, to the texts of errors."""
    try:
        yield
    except (sqlite3.Error, DBAPIError) as error:
        cause = getattr(error, "orig", error)
        name = getattr(cause, "sqlite_errorname", None)
        raise CopyRefused(f"{what}: {cause}{f' ({name})' if name else ''}") from error
    except OSError as error:
        raise CopyRefused(f"{what}: {error.strerror}") from error


def _is_file_of(path: Path, database: Path) -> bool:
    """Returns whether a path is the database's, or that of one of SQLite's files for it."""
    if path.exists() and database.exists() and path.samefile(database):
        return True
    return os.path.realpath(path) in {f"{os.path.realpath(database)}{suffix}" for suffix in ("", *SQLITE_FILE_SUFFIXES)}


def _check_destination(copy: Path, database: Path, *, overwrite: bool) -> None:
    if _is_file_of(copy, database):
        raise CopyRefused(f"{copy} is the database itself, or a file of SQLite's for it: name another file")
    if not os.path.lexists(copy):
        return
    if not overwrite:
        raise CopyRefused(f"{copy} exists; --force replaces it")
    # Replacing a name of an open file, such as /dev/stdout, would remove it for all processes.
    is_of_process = copy.is_symlink() and copy.readlink().is_relative_to("/proc")
    if is_of_process or (copy.exists() and not copy.is_file()):
        raise CopyRefused(f"{copy} is not a regular file")


def _open(database: Path, *, without_log: bool = False) -> sqlite3.Connection:
    """Returns a connection to an existing database with its log."""
    if not database.is_file() or not database.stat().st_size:
        raise CopyRefused(f"{database}: there is no database")
    with ExitStack() as undo:
        uri = f"file:{quote(str(database))}?mode=rw"
        connection = undo.enter_context(closing(sqlite3.connect(uri, uri=True, timeout=_READ_TIMEOUT)))
        if not without_log and lacks_log(connection, database):
            raise CopyRefused(
                f"{database} lacks the last writes, which are in its log: put {log_of(database)} next to it; "
                "`tokend restore --without-log` restores it without them"
            )
        if log_size(database):
            with suppress(sqlite3.OperationalError):  # locked by another process, which then closes it later
                clear_mark(connection)
        undo.pop_all()
    return connection


def _copy(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Copies a database including its log."""
    source.backup(target)
    target.execute(f"PRAGMA user_version = {Mark.COMPLETE}")


def _locked(database: Path) -> sqlite3.Connection:
    """Returns a connection that locks the database exclusively until it is closed."""
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    database.touch(mode=0o600)
    connection = sqlite3.connect(database, timeout=0, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise CopyRefused(f"{database} is in use; stop every process that serves it") from error
        raise
    return connection


def _check_schema(database: Path) -> None:
    engine = create_engine(URL.create("sqlite", database=str(database)), poolclass=NullPool)
    with engine.connect() as connection:
        if not migrations.applied(connection):
            raise CopyRefused(f"{database}: it is not a database of tokend")
        migrations.missing(connection)


def _checked(connection: sqlite3.Connection, path: Path) -> Contents:
    """Returns the contents of a database after SQLite's integrity check."""
    # A row may have several lines; the first one may contain only the name of the database.
    found = [line for (text,) in connection.execute("PRAGMA integrity_check") for line in text.splitlines()]
    damage = [line for line in found if line != "ok" and not line.startswith("***")]
    if damage or connection.execute("PRAGMA foreign_key_check").fetchone():
        raise CopyRefused(f"{path} is damaged{': ' * bool(damage)}{'; '.join(damage[:3])}")
    (identities,) = connection.execute("SELECT count(*) FROM identities").fetchone()
    (signing_keys,) = connection.execute("SELECT count(*) FROM signing_keys").fetchone()
    return Contents(identities, signing_keys)


@contextmanager
def _new_file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Returns a context manager with a private file, which is flushed and renamed at the end of a successful block."""
    descriptor, name = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    unfinished = Path(name)

    def remove() -> None:
        for suffix in ("", *SQLITE_FILE_SUFFIXES):
            Path(f"{unfinished}{suffix}").unlink(missing_ok=True)

    try:
        with cleaning_up_on_signal(remove):
            yield unfinished
            os.fsync(descriptor)
            if overwrite:
                unfinished.replace(path)
            else:
                _rename_new(unfinished, path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        os.close(descriptor)
        remove()


def _rename_new(unfinished: Path, path: Path) -> None:
    """Gives a file its name, unless the name is taken."""
    try:
        os.link(unfinished, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        path.touch(mode=0o600, exist_ok=False)
        unfinished.replace(path)
