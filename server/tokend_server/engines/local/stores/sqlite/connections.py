"""Connections for reads, and statements that bypass SQLAlchemy for speed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, Select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError


class _PooledConnection:
    """A connection, and a cursor of the driver on it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.cursor = connection.connection.cursor()


class ReadConnections:
    """Connections that are opened in advance, and used for one read at a time.

    So a read needs no new descriptor, which might not be available, and taking a connection costs less than the read.

    Args:
        engine: Opens the connections, without a pool. It must be in autocommit, so that no read keeps a snapshot open.
        count: The maximum number of concurrent reads; further ones wait.

    Attributes:
        acquire: Acquires a connection, which must be released.
        release: Releases it.

    Raises:
        SQLAlchemyError: The database does not answer.
    """

    def __init__(self, engine: Engine, count: int) -> None:
        self._engine = engine
        self._count = count
        self._idle: SimpleQueue[_PooledConnection] = SimpleQueue()
        self.acquire: Callable[[], _PooledConnection] = self._idle.get
        self.release: Callable[[_PooledConnection], None] = self._idle.put
        with ExitStack() as undo:
            for _ in range(count):
                pooled = self._open()
                undo.callback(pooled.connection.close)
                self._idle.put(pooled)
            undo.pop_all()

    def renew(self, pooled: _PooledConnection) -> _PooledConnection:
        """Returns a new connection in place of a failed one, or the same one if no connection can be opened."""
        try:
            fresh = self._open()
        except SQLAlchemyError:
            return pooled
        pooled.connection.close()
        return fresh

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Returns a context manager with a connection, which is renewed if the block fails."""
        pooled = self._idle.get()
        try:
            yield pooled.connection
        except SQLAlchemyError:
            pooled = self.renew(pooled)
            raise
        finally:
            self._idle.put(pooled)

    def close(self) -> None:
        """Closes all connections after the current reads. May be called again."""
        while self._count:
            self._idle.get().connection.close()
            self._count -= 1
        self._engine.dispose()

    def _open(self) -> _PooledConnection:
        return _PooledConnection(self._engine.connect())


class DriverStatement:
    """A statement that is rendered once and then executed by the driver.

    It is for the read of every call, for which SQLAlchemy would cost several times as much as the statement itself.
    Parameters are positional.

    Args:
        statement: The statement.
        dialect: The SQL dialect.
        connections: The connections on which it is executed.
    """

    def __init__(self, statement: Select[Any], dialect: Dialect, connections: ReadConnections) -> None:
        self._sql = str(statement.compile(dialect=dialect))
        self._error = dialect.loaded_dbapi.Error
        self._connections = connections

    def first(self, *parameters: object) -> tuple[Any, ...] | None:
        """Returns the first row, or None.

        Raises:
            SQLAlchemyError: The database does not answer.
        """
        pooled = self._connections.acquire()
        try:
            pooled.cursor.execute(self._sql, parameters)
            row: tuple[Any, ...] | None = pooled.cursor.fetchone()
        except self._error as error:
            pooled = self._connections.renew(pooled)
            raise DBAPIError(self._sql, None, error) from error
        finally:
            self._connections.release(pooled)
        return row
