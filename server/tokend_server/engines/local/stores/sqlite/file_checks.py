"""Checks of a database file before it is used."""

import logging
import shlex
import sqlite3
import stat
from pathlib import Path

from tokend_server.engines.local.stores.sqlite.database_file import log_of
from tokend_server.engines.local.stores.sqlite.write_ahead_log import APPLICATION_ID, clear_mark, lacks_log, log_size

_log = logging.getLogger(__name__)


class FileRefused(Exception):
    """Raised when a file must not be used as a database of this service, for the reason in the text."""


def check_mode(path: Path) -> None:
    """Refuses a file that everybody may open, because it contains the signing keys.

    Raises:
        FileRefused: Everybody may open it.
        OSError: There is no such file.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        return  # SQLite reports the problem
    if mode & 0o007:
        fix = f"chmod o= {shlex.quote(str(path))}"
        raise FileRefused(f"{path} holds the signing keys and everybody may open it: {fix}")
    if mode & 0o070:
        _log.warning("a group may open the database, which holds the signing keys", extra={"path": str(path)})


def check_log_not_orphaned(path: Path) -> None:
    """Refuses the log of an empty file, which SQLite would delete.

    Raises:
        FileRefused: There is such a log.
    """
    # The log is checked first: a process that creates a database writes the file before the log.
    if log_size(path) and not (path.exists() and path.stat().st_size):
        raise FileRefused(
            f"{path} is gone or empty, and its log {log_of(path)} is not: put the database back, or a backup with "
            "`tokend restore --force`; to start with an empty database, move the log away"
        )


def claim_database(connection: sqlite3.Connection, path: Path) -> None:
    """Accepts a new database, or one of this service with its log, and sets this service's application id.

    Raises:
        FileRefused: It is neither.
        sqlite3.Error: It is not a database, or cannot be written.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if application == APPLICATION_ID:
        if lacks_log(connection, path):
            raise FileRefused(
                f"{path} was in use, and its log {log_of(path)} is missing: the latest users would get new identity "
                "ids. Put the log back, or a backup with `tokend restore --force`; to continue without it, move the "
                "file away and put it back with `tokend restore --without-log`"
            )
        clear_mark(connection)
        return
    if application or (tables and "alembic_version" not in tables):
        raise FileRefused(f"{path} is a database of another program: name another file")
    if pages and not tables:
        raise FileRefused(
            f"{path} is a database without a table, as a copy without its log is: put the log or a backup back, or "
            "delete the file to start with an empty database"
        )
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
