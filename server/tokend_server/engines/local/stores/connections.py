"""How the store talks to the database where it matters how long that takes."""

import threading
from typing import Any
from weakref import WeakSet, finalize

from sqlalchemy import Connection, Dialect, Engine, Select
from sqlalchemy.exc import DBAPIError


class _Held:
    """What a thread holds: a connection, and a cursor of the driver on it. It closes with its last reference."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.cursor = connection.connection.cursor()
        finalize(self, connection.close)


class ThreadConnections:
    """A connection for each thread that it keeps, since taking one from a pool costs more than the read it is for.

    A connection is closed when its thread ends.

    Args:
        engine: What makes the connections, without a pool. It must be in autocommit, so that no read holds a snapshot
            open.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = threading.local()
        self._lock = threading.Lock()
        self._open: WeakSet[_Held] = WeakSet()

    def of_this_thread(self) -> Connection:
        """The connection of the calling thread; made when it has none.

        Raises:
            SQLAlchemyError: The database does not answer.
        """
        return self._held().connection

    def cursor_of_this_thread(self) -> Any:  # noqa: ANN401 - the driver's own, which has no common type
        """A cursor of the driver on the calling thread's connection.

        Raises:
            SQLAlchemyError: The database does not answer.
        """
        return self._held().cursor

    def drop(self) -> None:
        """Gives up the calling thread's connection after it has failed."""
        self._thread.__dict__.pop("held", None)

    def close(self) -> None:
        """Closes the connections of all threads."""
        with self._lock:
            while self._open:
                self._open.pop().connection.close()
        self._engine.dispose()

    def _held(self) -> _Held:
        held: _Held | None = getattr(self._thread, "held", None)
        if held is None:
            held = self._thread.held = _Held(self._engine.connect())
            with self._lock:
                self._open.add(held)
        return held


class DriverStatement:
    """A statement that is rendered once and then run by the driver itself, on the cursor that each thread keeps.

    It is for the one read that every call makes: there SQLAlchemy's handling of a statement would cost several times
    the statement. Parameters are positional.

    Args:
        statement: The statement.
        dialect: Whose words it is rendered in.
        connections: Where it runs.
    """

    def __init__(self, statement: Select[Any], dialect: Dialect, connections: ThreadConnections) -> None:
        self._sql = str(statement.compile(dialect=dialect))
        self._error = dialect.loaded_dbapi.Error
        self._connections = connections

    def first(self, *parameters: object) -> tuple[Any, ...] | None:
        """The first row, or None.

        Raises:
            SQLAlchemyError: The database does not answer.
        """
        cursor = self._connections.cursor_of_this_thread()
        try:
            cursor.execute(self._sql, parameters)
            row: tuple[Any, ...] | None = cursor.fetchone()
        except self._error as error:
            raise DBAPIError(self._sql, None, error) from error
        return row
