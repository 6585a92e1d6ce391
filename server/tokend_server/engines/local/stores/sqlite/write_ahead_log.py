"""The log beside a SQLite database: how it gets into the file, and how a file shows that its log is missing.

SQLite adds what is committed to a write-ahead log and copies it into the file later, at a checkpoint
(https://www.sqlite.org/wal.html). Without its log the file is an older state, and looks sound. So the file of a
database in use carries a mark, and the log takes it away: a checkpoint commits the mark, copies the log, and commits
the mark's removal into the log. Whoever reads the file with its log finds no mark, nor does anyone after the whole log
was copied into the file, as the last program that closes the database does, whichever it is. Where a process was killed
before the removal, or could not make it, whoever of this service opens or closes the database next does.
"""

import os
import sqlite3
import threading
import time
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from tokend_server.engines.local.stores.sqlite.write_turn import NoTurn, WriteTurn
from tokend_server.errors import EngineUnavailable

#: `PRAGMA application_id` of databases of this service: "tokd".
APPLICATION_ID = 0x746F6B64

#: Seconds that a checkpoint waits for writes, twice.
_PATIENCE = 1.0

#: Bytes of the header of a log, and of that of each page in it (SQLite, "Database File Format", section 4.1).
_LOG_HEADER, _PAGE_HEADER = 32, 24

#: How often the log is begun again until nothing old is left in it, and seconds between two tries.
_FORGETS, _FORGET_INTERVAL = 50, 0.02


class Mark(IntEnum):
    """What `PRAGMA user_version` says of a database."""

    COMPLETE = 0
    LACKS_LOG = 1


class _OpenFile(Protocol):
    def check_with_log(self) -> None: ...


class WriteAheadLog:
    """The log of an open database. It may be used from many threads.

    Args:
        path: The database file.
        connection: A connection of its own, without transactions of the driver's.
        file: The file and the log that are open.
        turn: Whose turn it is to write.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, file: _OpenFile, turn: WriteTurn) -> None:
        self._path = path
        self._connection = connection
        self._lock = threading.RLock()
        self._file = file
        self._turn = turn
        self._has_writes = True  # of processes before this one
        self._version = self._data_version()

    def note_write(self) -> None:
        """Notes that this process commits something."""
        self._has_writes = True

    def has_writes(self) -> bool:
        """Whether this process has committed anything since the last checkpoint that was complete."""
        return self._has_writes

    def has_writes_of_others(self) -> bool:
        """Whether any process has committed anything since this was asked last.

        Raises:
            EngineUnavailable: The database does not answer.
        """
        try:
            with self._lock:
                before, self._version = self._version, self._data_version()
        except sqlite3.Error as error:
            raise _failed(error.sqlite_errorname) from error
        return before != self._version

    def checkpoint(self) -> bool:
        """Copies the log into the file, as far as no reader still needs an older state; only the marks wait for writes.

        Returns:
            Whether the file now has all that was committed before.

        Raises:
            EngineUnavailable: The database cannot be written, or is not the one at its path.
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
            raise _failed("other writes take too long") from error
        except sqlite3.Error as error:
            raise _failed(error.sqlite_errorname) from error
        finally:
            if not is_complete:
                self._has_writes = True
        return is_complete

    def forget(self) -> bool:
        """Sees to it that what was deleted or overwritten is in the log no more, nor in the file.

        A checkpoint leaves the log's old content where it is, to be overwritten by and by. The first commit after a
        complete one begins the log again, if no reader needs it, and cuts off what is behind when there is a limit of
        its size (PRAGMA journal_size_limit).

        Returns:
            False where readers did not cease to need an older state.

        Raises:
            EngineUnavailable: As `checkpoint`.
        """
        with self._lock:
            try:
                self._connection.execute("PRAGMA journal_size_limit = 0")
                return self._begin_again()
            except sqlite3.Error as error:
                raise _failed(error.sqlite_errorname) from error
            finally:
                with suppress(sqlite3.Error):  # the first error is the one to report
                    self._connection.execute("PRAGMA journal_size_limit = -1")

    def _begin_again(self) -> bool:
        with_the_mark_alone = _LOG_HEADER + _PAGE_HEADER + self._page_size()
        for _ in range(_FORGETS):
            before = log_size(self._path)
            # The mark that it sets at last is the first commit after it, unless another process is quicker.
            if self.checkpoint() and ((after := log_size(self._path)) < before or after == with_the_mark_alone):
                return True
            time.sleep(_FORGET_INTERVAL)
        return False

    def close(self) -> None:
        """Closes the connection; a mark that a checkpoint could not take away goes, as far as others let it."""
        with suppress(sqlite3.Error):
            self._connection.execute(f"PRAGMA busy_timeout = {int(_PATIENCE * 1000)}")
            take_mark_away(self._connection)
        self._connection.close()

    def _set(self, mark: Mark) -> None:
        with self._turn.taken(_PATIENCE) as left:
            self._connection.execute(f"PRAGMA busy_timeout = {int(left * 1000)}")
            self._connection.execute(f"PRAGMA user_version = {mark}")

    def _page_size(self) -> int:
        size: int = self._connection.execute("PRAGMA page_size").fetchone()[0]
        return size

    def _data_version(self) -> int:
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return version


def lost_its_log(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether a database that was just opened lacks what was in its log.

    Raises:
        sqlite3.Error: The database does not answer.
    """
    # A process that was killed between the two marks has left a log.
    return _is_marked(connection) and not log_size(path)


def take_mark_away(connection: sqlite3.Connection) -> None:
    """Takes away the mark of a database that was just opened with its log.

    A process that was killed has left it there; it would be in the file when the log is not needed any more. Or another
    process is at a checkpoint, and sets it again at the next one.

    Raises:
        sqlite3.Error: The database does not answer, or another process has locked it.
    """
    if _is_marked(connection):
        connection.execute(f"PRAGMA user_version = {Mark.COMPLETE}")


def _is_marked(connection: sqlite3.Connection) -> bool:
    (mark,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    return bool(application == APPLICATION_ID and mark == Mark.LACKS_LOG)


def log_of(path: Path) -> Path:
    """Where SQLite keeps the log of a database: beside the file to which links lead."""
    file = Path(os.path.realpath(path)) if path.is_symlink() else path
    return file.with_name(f"{file.name}-wal")


def log_size(path: Path) -> int:
    """The bytes in the log of a database; 0 if there is none."""
    try:
        return log_of(path).stat().st_size
    except FileNotFoundError:
        return 0


def _failed(why: str) -> EngineUnavailable:
    return EngineUnavailable(f"The identity store's log could not be written back ({why}).")
