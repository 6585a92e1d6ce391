"""SQLite's write-ahead log: checkpoints, and the detection of a database file whose log is missing.

SQLite appends commits to a write-ahead log and copies them into the file later, at a checkpoint
(https://www.sqlite.org/wal.html). Without its log, the file has an older state and seems intact. Therefore the file of
a database in use has a mark, which the log removes: a checkpoint commits the mark, copies the log, and commits the
removal of the mark into the log. A reader of the file with its log sees no mark. Neither does a reader after the whole
log was copied into the file, as any program does that is the last to close the database. If a process was killed before
the removal, or could not make it, the next process of this service that opens or closes the database removes the mark.
"""

import sqlite3
import threading
import time
from contextlib import suppress
from enum import IntEnum
from pathlib import Path

from tokend_server.engines.local.stores.sqlite.database_file import DatabaseFile, log_of
from tokend_server.engines.local.stores.sqlite.write_turn import NoTurn, WriteTurn
from tokend_server.errors import EngineUnavailable

#: `PRAGMA application_id` of databases of this service: "tokd".
APPLICATION_ID = 0x746F6B64

#: Seconds that a checkpoint waits for writes, twice.
_WRITE_TIMEOUT = 1.0

#: The sizes in bytes of a log's header, and of each page's header in it (SQLite, "Database File Format", section 4.1).
_LOG_HEADER, _PAGE_HEADER = 32, 24

#: The maximum number of restarts of the log until no old data are in it, and seconds between two attempts.
_ERASE_ATTEMPTS, _ERASE_INTERVAL = 50, 0.02


class Mark(IntEnum):
    """The values of `PRAGMA user_version`."""

    COMPLETE = 0
    LACKS_LOG = 1


class WriteAheadLog:
    """The log of an open database. It is thread-safe.

    Args:
        path: The database file.
        connection: A separate connection, without implicit transactions of the driver.
        file: The open file and log.
        turn: The turns of writes.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, file: DatabaseFile, turn: WriteTurn) -> None:
        self._path = path
        self._connection = connection
        self._lock = threading.RLock()
        self._file = file
        self._turn = turn
        self._has_writes = True  # from earlier processes
        self._version = self._data_version()

    def note_write(self) -> None:
        """Records that this process commits a write."""
        self._has_writes = True

    def has_writes(self) -> bool:
        """Returns whether this process has committed since the last complete checkpoint."""
        return self._has_writes

    def has_writes_of_others(self) -> bool:
        """Returns whether any process has committed since the last call.

        Raises:
            EngineUnavailable: The database does not answer.
        """
        try:
            with self._lock:
                before, self._version = self._version, self._data_version()
        except sqlite3.Error as error:
            raise _write_back_error(error.sqlite_errorname) from error
        return before != self._version

    def checkpoint(self) -> bool:
        """Copies the log into the file, except where readers need an older state; only its marks wait for other writes.

        Returns:
            Whether the file now has all earlier commits.

        Raises:
            EngineUnavailable: The database cannot be written, or the open file is not the one at its path.
        """
        self._has_writes = False
        is_complete = False
        try:
            with self._lock:
                self._file.check_with_log()
                self._set(Mark.LACKS_LOG)
                busy, in_log, copied = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                self._set(Mark.COMPLETE)
                is_complete = not busy and in_log == copied
        except NoTurn as error:
            raise _write_back_error("other writes take too long") from error
        except sqlite3.Error as error:
            raise _write_back_error(error.sqlite_errorname) from error
        finally:
            if not is_complete:
                self._has_writes = True
        return is_complete

    def erase_deleted(self) -> bool:
        """Erases deleted and overwritten data from the log and the file.

        A checkpoint leaves the log's old contents in place, to be overwritten later. The first commit after a complete
        checkpoint restarts the log, if no reader needs it, and truncates it if its size is limited (PRAGMA
        journal_size_limit).

        Returns:
            False if readers still need an older state.

        Raises:
            EngineUnavailable: As `checkpoint`.
        """
        with self._lock:
            try:
                self._connection.execute("PRAGMA journal_size_limit = 0")
                return self._restart_log()
            except sqlite3.Error as error:
                raise _write_back_error(error.sqlite_errorname) from error
            finally:
                with suppress(sqlite3.Error):  # the first error is the one to report
                    self._connection.execute("PRAGMA journal_size_limit = -1")

    def _restart_log(self) -> bool:
        size_with_one_mark = _LOG_HEADER + _PAGE_HEADER + self._page_size()
        for _ in range(_ERASE_ATTEMPTS):
            before = log_size(self._path)
            # Its last mark is the first commit after it, unless another process commits first.
            if self.checkpoint() and ((after := log_size(self._path)) < before or after == size_with_one_mark):
                return True
            time.sleep(_ERASE_INTERVAL)
        return False

    def close(self) -> None:
        """Closes the connection; tries to remove a mark that a checkpoint could not remove."""
        with suppress(sqlite3.Error):
            self._connection.execute(f"PRAGMA busy_timeout = {int(_WRITE_TIMEOUT * 1000)}")
            clear_mark(self._connection)
        self._connection.close()

    def _set(self, mark: Mark) -> None:
        with self._turn.taken(_WRITE_TIMEOUT) as left:
            self._connection.execute(f"PRAGMA busy_timeout = {int(left * 1000)}")
            self._connection.execute(f"PRAGMA user_version = {mark}")

    def _page_size(self) -> int:
        size: int = self._connection.execute("PRAGMA page_size").fetchone()[0]
        return size

    def _data_version(self) -> int:
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return version


def lacks_log(connection: sqlite3.Connection, path: Path) -> bool:
    """Returns whether a newly opened database lacks its log.

    Raises:
        sqlite3.Error: The database does not answer.
    """
    # A process that was killed between the two marks leaves a log.
    return _is_marked(connection) and not log_size(path)


def clear_mark(connection: sqlite3.Connection) -> None:
    """Removes the mark of a newly opened database with its log.

    A killed process has left the mark, which would stay in the file when the log is no longer needed. Or another
    process is at a checkpoint; it sets the mark again at the next one.

    Raises:
        sqlite3.Error: The database does not answer, or another process has locked it.
    """
    if _is_marked(connection):
        connection.execute(f"PRAGMA user_version = {Mark.COMPLETE}")


def _is_marked(connection: sqlite3.Connection) -> bool:
    (mark,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    return bool(application == APPLICATION_ID and mark == Mark.LACKS_LOG)


def log_size(path: Path) -> int:
    """Returns the size of a database's log in bytes; 0 if there is none."""
    try:
        return log_of(path).stat().st_size
    except FileNotFoundError:
        return 0


def _write_back_error(why: str) -> EngineUnavailable:
    return EngineUnavailable(f"The identity store's log could not be written back ({why}).")
