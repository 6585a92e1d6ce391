"""A connection pool, whose connections are opened in separate threads."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Generic, Protocol, TypeVar

#: The number of threads that open connections.
OPENERS = 4

#: Seconds between a failure to open a connection and the next attempt.
PAUSE = 0.1

_log = logging.getLogger(__name__)


class NoConnection(Exception):
    """Raised when no connection is available in time; its cause is the error of opening one, if it is known."""


class _Connection(Protocol):
    @property
    def expires_at(self) -> float: ...

    def close(self) -> None: ...


_PooledConnection = TypeVar("_PooledConnection", bound=_Connection)


class ConnectionPool(Generic[_PooledConnection]):
    """A pool of connections to one server.

    Opening a connection takes name resolution, several round trips, and a timeout if the server does not answer. So
    callers wait for a connection only until their own deadline, and a connection that is opened too late is used by the
    next caller. When an attempt fails, waiting callers fail at once, unless other connections are in use.

    Args:
        open_one: Opens a connection; its error is the cause of `NoConnection`.
        max_size: The maximum number of connections.
    """

    def __init__(self, open_one: Callable[[], _PooledConnection], max_size: int) -> None:
        self._open_one = open_one
        self._max_size = max_size
        self._idle: deque[_PooledConnection] = deque()
        self._changed = threading.Condition()
        self._waiting = 0
        self._opening = 0
        self._open = 0
        self._failures = 0
        self._failure: Exception | None = None
        self._failed_at = 0.0
        self._is_closed = False

    def acquire(self, until: float) -> _PooledConnection:
        """Returns a connection, which must be released or discarded.

        Args:
            until: The monotonic time until which to wait.

        Raises:
            NoConnection: No connection is available by then.
        """
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._wait(until)
            if connection.expires_at > monotonic():
                return connection
            self.discard(connection)

    def release(self, connection: _PooledConnection) -> None:
        """Returns a connection to the pool, so that it can be reused."""
        self._idle.append(connection)
        # A caller that is about to wait counts itself before it checks for idle connections.
        if self._waiting or self._is_closed:
            self._notify_waiting()

    def discard(self, connection: _PooledConnection) -> None:
        """Closes a connection that cannot be reused."""
        connection.close()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def discard_idle(self) -> None:
        """Closes the idle connections, for example after one of them turned out to be closed by the server."""
        while self._idle:
            try:
                self.discard(self._idle.pop())
            except IndexError:
                return

    def close(self) -> None:
        """Closes all connections; those in use are closed when they are released. May be called again."""
        self._is_closed = True
        self.discard_idle()

    def _notify_waiting(self) -> None:
        if self._is_closed:
            self.discard_idle()
        with self._changed:
            self._changed.notify()

    def _wait(self, until: float) -> _PooledConnection:
        with self._changed:
            self._waiting += 1
            try:
                return self._wait_for_connection(until)
            finally:
                self._waiting -= 1

    def _wait_for_connection(self, until: float) -> _PooledConnection:
        failures = self._failures
        while not self._is_closed:
            try:
                return self._idle.pop()
            except IndexError:
                pass
            if self._failures > failures and not self._open:
                raise NoConnection from self._failure
            self._open_more()
            left = until - monotonic()
            if left <= 0:
                break
            self._changed.wait(min(left, PAUSE))
        raise NoConnection from (None if self._open else self._failure)

    def _open_more(self) -> None:
        """Opens one more connection in a thread, if the maximum allows it and not enough are being opened."""
        is_paused = self._failure and monotonic() - self._failed_at < PAUSE
        if is_paused or self._opening >= min(OPENERS, self._waiting, self._max_size - self._open):
            return
        self._opening += 1
        try:
            threading.Thread(target=self._add, name="store connection", daemon=True).start()
        except RuntimeError as error:  # the operating system refuses to start a thread
            self._record_failure(error)

    def _add(self) -> None:
        try:
            opened = self._open_one()
        except Exception as error:  # noqa: BLE001 - it is raised where a connection is needed
            self._record_failure(error)
            return
        with self._changed:
            if self._failure:
                _log.info("the store can be reached again")
            self._failure = None
            self._opening -= 1
            self._open += 1
        self.release(opened)

    def _record_failure(self, error: Exception) -> None:
        with self._changed:
            if self._failure is None:
                _log.warning("the store cannot be reached", extra={"problem": str(error).partition("\n")[0]})
            self._opening -= 1
            self._failures += 1
            self._failure, self._failed_at = error, monotonic()
            self._changed.notify_all()
