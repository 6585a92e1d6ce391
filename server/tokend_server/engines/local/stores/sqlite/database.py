"""A SQLite file as the database of a `SqlStore`: reads beside a write, and one write at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from tokend_server.clock import Deadline
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.stores.sql.database import OWNER
from tokend_server.engines.local.stores.sqlite.connections import DriverStatement, ReadConnections
from tokend_server.engines.local.stores.sqlite.write_turn import NoTurn, WriteTurn
from tokend_server.errors import EngineUnavailable

#: Seconds that a write waits for other writes before it fails.
LOCK_TIMEOUT = 5.0

#: The execution option that says how many seconds a transaction may wait for its lock.
LOCK_TIMEOUT_OPTION = "tokend_lock_timeout"

_Result = TypeVar("_Result")


class _OpenFile(Protocol):
    def check(self) -> None: ...

    def check_with_log(self) -> None: ...


class SqliteDatabase:
    """The `Database` that is one file.

    Args:
        readers: Connections in autocommit, so that a read never waits for a writer.
        writes: A pool of connections whose transactions are durable when they are committed.
        file: The file and the log that are open.
        turn: Whose turn it is to write.
    """

    def __init__(self, readers: ReadConnections, writes: Engine, file: _OpenFile, turn: WriteTurn) -> None:
        self._readers = readers
        self._owner = DriverStatement(OWNER, writes.dialect, readers)
        self._writes = writes
        self._file = file
        self._turn = turn

    def owner(self, login_key: bytes, _deadline: Deadline | None) -> str | None:
        try:
            row = self._owner.first(login_key)
        except SQLAlchemyError as error:
            raise unavailable(error) from error
        self._file.check()
        return None if row is None else row[0]

    def read(self, work: Callable[[Connection], _Result], _deadline: Deadline | None = None) -> _Result:
        try:
            with self._readers.lend() as connection:
                result = work(connection)
        except SQLAlchemyError as error:
            raise unavailable(error) from error
        self._file.check()
        return result

    def read_all(self, work: Callable[[Connection], _Result]) -> _Result:
        return self.read(work)

    def write(self, work: Callable[[Connection], _Result], deadline: Deadline | None = None) -> _Result:
        with self._writing(LOCK_TIMEOUT, deadline) as connection:
            return work(connection)

    def write_alone(self, work: Callable[[Connection], _Result]) -> _Result:
        return self.write(work)  # every write is alone

    def migrate(self, work: Callable[[Connection], _Result], patience: float) -> _Result:
        with self._writing(patience) as connection:
            return work(connection)

    def close(self) -> None:
        self._readers.close()
        self._writes.dispose()

    @contextmanager
    def _writing(self, timeout: float, deadline: Deadline | None = None) -> Iterator[Connection]:
        if deadline is not None:
            timeout = min(deadline.remaining(), timeout)
        try:
            with self._turn.taken(timeout) as left, self._writes.connect() as unset:
                connection = unset.execution_options(**{LOCK_TIMEOUT_OPTION: left})
                with connection.begin():
                    _check(deadline)
                    self._file.check_with_log()
                    yield connection
                    self._file.check_with_log()
                # What is acknowledged is in the file that is there.
                self._file.check_with_log()
        except NoTurn as error:
            _check(deadline)
            raise EngineUnavailable("The identity store is busy with other writes.") from error
        except IntegrityError as error:
            raise StaleReading from error
        except SQLAlchemyError as error:
            _check(deadline)
            raise unavailable(error) from error


def _check(deadline: Deadline | None) -> None:
    if deadline is not None:
        deadline.check()


def unavailable(error: Exception) -> EngineUnavailable:
    """What a failure of the database, as SQLAlchemy, the driver or the system tells it, is to callers."""
    # The driver's text may hold values; its name for the error says as much.
    cause = getattr(error, "orig", error)
    return EngineUnavailable(
        f"The identity store does not answer ({getattr(cause, 'sqlite_errorname', type(cause).__name__)})."
    )
