"""Connections that are lent for a moment each, and opened in threads of their own."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Generic, Protocol, TypeVar

#: Threads that open connections at once.
OPENERS = 4

#: Seconds from a failure to open a connection to the next attempt.
PAUSE = 0.1

_log = logging.getLogger(__name__)


class NoConnection(Exception):
    """Raised when no connection can be had in time; its cause is what kept one from being opened, if that is known."""


class _Connection(Protocol):
    @property
    def expires_at(self) -> float: ...

    def close(self) -> None: ...


_Lent = TypeVar("_Lent", bound=_Connection)


class ConnectionPool(Generic[_Lent]):
    """Connections to one place.

    To open one takes a look-up of names, several round trips, and all the time of a place that does not answer. So
    those who need a connection wait for it only as long as they can, and what is opened too late for them is there for
    the next. When an attempt fails, those who wait learn it at once, unless others are about to give theirs back.

    Args:
        open_one: Opens a connection; what it raises is the cause of `NoConnection`.
        most: How many there are at most.
    """

    def __init__(self, open_one: Callable[[], _Lent], most: int) -> None:
        self._open_one = open_one
        self._most = most
        self._idle: deque[_Lent] = deque()
        self._changed = threading.Condition()
        self._waiting = 0
        self._opening = 0
        self._open = 0
        self._failures = 0
        self._failure: Exception | None = None
        self._failed_at = 0.0
        self._is_closed = False

    def take(self, until: float) -> _Lent:
        """A connection, which has to be given back or discarded.

        Args:
            until: A reading of the monotonic clock.

        Raises:
            NoConnection: None can be had by then.
        """
        while True:
            try:
                lent = self._idle.pop()
            except IndexError:
                lent = self._awaited(until)
            if lent.expires_at > monotonic():
                return lent
            self.discard(lent)

    def give_back(self, lent: _Lent) -> None:
        """Gives back a connection that is as good as it was."""
        self._idle.append(lent)
        # Whoever is about to wait has counted itself before it looks at what is idle.
        if self._waiting or self._is_closed:
            self._tell()

    def discard(self, lent: _Lent) -> None:
        """Closes a connection that is of no use any more."""
        lent.close()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def discard_idle(self) -> None:
        """Closes the idle connections, as after one of them was found to be lost."""
        while self._idle:
            try:
                self.discard(self._idle.pop())
            except IndexError:
                return

    def close(self) -> None:
        """Closes all connections, those that are lent when they are given back; to close again does nothing."""
        self._is_closed = True
        self.discard_idle()

    def _tell(self) -> None:
        if self._is_closed:
            self.discard_idle()
        with self._changed:
            self._changed.notify()

    def _awaited(self, until: float) -> _Lent:
        with self._changed:
            self._waiting += 1
            try:
                return self._next(until)
            finally:
                self._waiting -= 1

    def _next(self, until: float) -> _Lent:
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
        """Has one more connection opened, if there may be more and not enough are on their way."""
        is_paused = self._failure and monotonic() - self._failed_at < PAUSE
        if is_paused or self._opening >= min(OPENERS, self._waiting, self._most - self._open):
            return
        self._opening += 1
        try:
            threading.Thread(target=self._add, name="store connection", daemon=True).start()
        except RuntimeError as error:  # the system has no thread left
            self._note(error)

    def _add(self) -> None:
        try:
            opened = self._open_one()
        except Exception as error:  # noqa: BLE001 - it is raised where a connection is needed
            self._note(error)
            return
        with self._changed:
            if self._failure:
                _log.info("the store can be reached again")
            self._failure = None
            self._opening -= 1
            self._open += 1
        self.give_back(opened)

    def _note(self, error: Exception) -> None:
        with self._changed:
            if self._failure is None:
                _log.warning("the store cannot be reached", extra={"problem": str(error).partition("\n")[0]})
            self._opening -= 1
            self._failures += 1
            self._failure, self._failed_at = error, monotonic()
            self._changed.notify_all()
