import threading

from sqlalchemy import Connection, Engine


class ThreadConnections:
    """A connection for each thread that it keeps, since taking one from a pool costs more than the read it is for.

    Args:
        engine: What makes the connections. It must be in autocommit, so that no read holds a snapshot open.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = threading.local()
        self._lock = threading.Lock()
        self._open: set[Connection] = set()

    def of_this_thread(self) -> Connection:
        """The connection of the calling thread; made when it has none.

        Raises:
            SQLAlchemyError: The database does not answer.
        """
        connection: Connection | None = getattr(self._thread, "connection", None)
        if connection is None:
            connection = self._thread.connection = self._engine.connect()
            with self._lock:
                self._open.add(connection)
        return connection

    def drop(self) -> None:
        """Gives up the calling thread's connection after it has failed."""
        connection: Connection | None = self._thread.__dict__.pop("connection", None)
        if connection is not None:
            with self._lock:
                self._open.discard(connection)
            connection.invalidate()
            connection.close()

    def close(self) -> None:
        """Closes the connections of all threads."""
        with self._lock:
            while self._open:
                self._open.pop().close()
        self._engine.dispose()
