"""How the store talks to the database where it matters how long that takes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, Select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError


class _Lent:
    """A connection, and a cursor of the driver on it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.cursor = connection.connection.cursor()


class ReadConnections:
    """Connections that are opened beforehand and lent for a read each.

    A read needs no descriptor that it might not get, and taking a connection costs less than the read it is for.

    Args:
        engine: What makes the connections, without a pool. It must be in autocommit, so that no read holds a snapshot
            open.
        count: How many reads there may be at once; a further one waits for one of them.

    Attributes:
        take: Takes a connection, which has to be given back.
        give_back: Gives it back.

    Raises:
        SQLAlchemyError: The database does not answer.
    """

    def __init__(self, engine: Engine, count: int) -> None:
        self._engine = engine
        self._count = count
        self._idle: SimpleQueue[_Lent] = SimpleQueue()
        self.take: Callable[[], _Lent] = self._idle.get
        self.give_back: Callable[[_Lent], None] = self._idle.put
        with ExitStack() as undo:
            for _ in range(count):
                lent = self._opened()
                undo.callback(lent.connection.close)
                self._idle.put(lent)
            undo.pop_all()

    def renewed(self, lent: _Lent) -> _Lent:
        """A new connection in the place of one that failed; the same one where none can be had."""
        try:
            fresh = self._opened()
        except SQLAlchemyError:
            return lent
        lent.connection.close()
        return fresh

    @contextmanager
    def lend(self) -> Iterator[Connection]:
        """A connection for the block; one that fails there is renewed."""
        lent = self._idle.get()
        try:
            yield lent.connection
        except SQLAlchemyError:
            lent = self.renewed(lent)
            raise
        finally:
            self._idle.put(lent)

    def close(self) -> None:
        """Closes all connections, when the reads under way are done; to close again does nothing."""
        while self._count:
            self._idle.get().connection.close()
            self._count -= 1
        self._engine.dispose()

    def _opened(self) -> _Lent:
        return _Lent(self._engine.connect())


class DriverStatement:
    """A statement that is rendered once and then run by the driver itself.

    It is for the one read that every call makes: there SQLAlchemy's handling of a statement would cost several times
    the statement. Parameters are positional.

    Args:
        statement: The statement.
        dialect: The SQL dialect it is rendered in.
        connections: Where it runs.
    """

    def __init__(self, statement: Select[Any], dialect: Dialect, connections: ReadConnections) -> None:
        self._sql = str(statement.compile(dialect=dialect))
        self._error = dialect.loaded_dbapi.Error
        self._connections = connections

    def first(self, *parameters: object) -> tuple[Any, ...] | None:
        """The first row, or None.

        Raises:
            SQLAlchemyError: The database does not answer.
        """
        lent = self._connections.take()
        try:
            lent.cursor.execute(self._sql, parameters)
            row: tuple[Any, ...] | None = lent.cursor.fetchone()
        except self._error as error:
            lent = self._connections.renewed(lent)
            raise DBAPIError(self._sql, None, error) from error
        finally:
            self._connections.give_back(lent)
        return row
