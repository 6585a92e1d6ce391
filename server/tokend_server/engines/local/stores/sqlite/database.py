"""A SQLite file as the database of a `SqlStore`: concurrent reads, and one write at a time."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from tokend_server.clock import Deadline
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.stores.sql.database import NEW_IDENTITIES, NEW_LOGINS, OWNER, NewRows
from tokend_server.engines.local.stores.sqlite.connections import DriverStatement, ReadConnections
from tokend_server.engines.local.stores.sqlite.database_file import DatabaseFile
from tokend_server.engines.local.stores.sqlite.write_turn import NoTurn, WriteTurn
from tokend_server.errors import EngineUnavailable

#: Seconds that a write waits for other writes before it fails.
LOCK_TIMEOUT = 5.0

#: The statements in the driver's format, with column names as parameters.
_INSERTS = {
    statement: str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))
    for statement in (NEW_IDENTITIES, NEW_LOGINS)
}

_Result = TypeVar("_Result")


class SqliteDatabase:
    """The `Database` in one file.

    Args:
        readers: Connections in autocommit, so that reads never wait for writes.
        writes: A pool of connections whose commits are durable.
        file: The open file and log.
        turn: The turns of writes.
        before_commit: Called before a transaction of this process is committed.
    """

    def __init__(
        self,
        readers: ReadConnections,
        writes: Engine,
        file: DatabaseFile,
        turn: WriteTurn,
        before_commit: Callable[[], None],
    ) -> None:
        self._readers = readers
        self._owner = DriverStatement(OWNER, writes.dialect, readers)
        self._writes = writes
        self._file = file
        self._turn = turn
        self._before_commit = before_commit

    def owner(self, login_key: bytes, _deadline: Deadline | None) -> str | None:
        try:
            row = self._owner.first(login_key)
        except SQLAlchemyError as error:
            raise unavailable(error) from error
        self._file.check()
        return None if row is None else row[0]

    def read(self, work: Callable[[Connection], _Result], _deadline: Deadline | None = None) -> _Result:
        try:
            with self._readers.connection() as connection:
                result = work(connection)
        except SQLAlchemyError as error:
            raise unavailable(error) from error
        self._file.check()
        return result

    def read_all(self, work: Callable[[Connection], _Result]) -> _Result:
        return self.read(work)

    def insert(self, rows: NewRows, deadline: Deadline) -> None:
        # By the driver: SQLAlchemy's connection, transaction and statements would cost three times as much as the rest.
        with self._written(LOCK_TIMEOUT, deadline) as left, closing(self._writes.raw_connection()) as connection:
            cursor = connection.cursor()
            _begin_immediate(cursor, left)
            _check(deadline)
            self._file.check_with_log()
            for statement, of_statement in rows.items():
                cursor.executemany(_INSERTS[statement], of_statement)
            self._file.check_with_log()
            self._before_commit()
            connection.commit()

    def write(self, work: Callable[[Connection], _Result], deadline: Deadline | None = None) -> _Result:
        with self._writing(LOCK_TIMEOUT, deadline) as connection:
            return work(connection)

    def write_serializable(self, work: Callable[[Connection], _Result]) -> _Result:
        return self.write(work)  # all writes are serialized

    def migrate(self, work: Callable[[Connection], _Result], lock_timeout: float) -> _Result:
        with self._writing(lock_timeout) as connection:
            return work(connection)

    def close(self) -> None:
        self._readers.close()
        self._writes.dispose()

    @contextmanager
    def _writing(self, timeout: float, deadline: Deadline | None = None) -> Iterator[Connection]:
        with self._written(timeout, deadline) as left, self._writes.begin() as connection:
            _begin_immediate(connection.connection.cursor(), left)
            _check(deadline)
            self._file.check_with_log()
            yield connection
            self._file.check_with_log()
            self._before_commit()

    @contextmanager
    def _written(self, timeout: float, deadline: Deadline | None) -> Iterator[float]:
        """Waits for the turn to write, yields the seconds left for the lock, and checks the file at its end."""
        if deadline is not None:
            timeout = min(deadline.remaining(), timeout)
        try:
            with self._turn.taken(timeout) as left:
                yield left
                # Only writes to the file at the path are acknowledged.
                self._file.check_with_log()
        except NoTurn as error:
            _check(deadline)
            raise EngineUnavailable("The identity store is busy with other writes.") from error
        except (IntegrityError, sqlite3.IntegrityError) as error:
            raise StaleReading from error
        except (SQLAlchemyError, sqlite3.Error) as error:
            _check(deadline)
            raise unavailable(error) from error


def _begin_immediate(cursor: DBAPICursor, lock_timeout: float) -> None:
    """Starts a write transaction, and waits at most `lock_timeout` seconds for those of other processes."""
    cursor.execute(f"PRAGMA busy_timeout = {int(lock_timeout * 1000)}")
    # A transaction that reads first could not be upgraded to a write after another write.
    cursor.execute("BEGIN IMMEDIATE")


def _check(deadline: Deadline | None) -> None:
    if deadline is not None:
        deadline.check()


def unavailable(error: Exception) -> EngineUnavailable:
    """Returns the error of the port for a failure from SQLAlchemy, the driver or the operating system."""
    # The driver's text may contain values, so only the name of its error is used.
    cause = getattr(error, "orig", error)
    return EngineUnavailable(
        f"The identity store does not answer ({getattr(cause, 'sqlite_errorname', type(cause).__name__)})."
    )
