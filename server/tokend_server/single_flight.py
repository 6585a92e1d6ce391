"""Identical calls in flight share one: the first makes it, the others wait for it, each until its own deadline."""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from tokend_server.clock import Deadline

_Result = TypeVar("_Result")


class OutOfTime(Exception):
    """Raised when a caller's deadline passes before there is an answer."""


class Terms(NamedTuple):
    """On which terms a caller shares.

    Attributes:
        key: What makes calls the same.
        insistent: It has nothing else to go by: a call that its maker gave up for want of time is made again.
    """

    key: bytes
    insistent: bool = True


class SingleFlight:
    """The calls that are under way, by their keys."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[bytes, _Flight] = {}

    def fly(self, terms: Terms, make: Callable[[], _Result], deadline: Deadline) -> tuple[_Result, bool]:
        """Makes a call, or waits for the same call that is under way.

        Args:
            terms: The caller's.
            make: Makes the call in this thread, and raises `OutOfTime` when the deadline passes.
            deadline: Until when this caller waits.

        Returns:
            The answer, and whether another caller's call brought it.

        Raises:
            OutOfTime: The deadline passed.
            Exception: What the call raised; all who share it raise the same.
        """
        while deadline.remaining():
            flight, is_mine = self._board(terms.key)
            if is_mine:
                return self._make(terms.key, flight, make), False
            landed = flight.landed.wait(min(deadline.remaining(), threading.TIMEOUT_MAX))
            if landed and not (terms.insistent and isinstance(flight.error, OutOfTime)):
                return flight.answer(), True
        raise OutOfTime

    def _board(self, key: bytes) -> tuple["_Flight", bool]:
        with self._lock:
            flight = self._flights.get(key)
            if flight is not None:
                return flight, False
            flight = self._flights[key] = _Flight()
            return flight, True

    def _make(self, key: bytes, flight: "_Flight", make: Callable[[], _Result]) -> _Result:
        try:
            flight.result = result = make()
        except BaseException as error:
            flight.error = error
            raise
        finally:
            # No caller may join once the answer is known: it is older than what a newcomer asks for.
            with self._lock:
                del self._flights[key]
            flight.landed.set()
        return result


class _Flight:
    __slots__ = ("error", "landed", "result")

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def answer(self) -> Any:  # noqa: ANN401 - the result of whatever was called
        if self.error is not None:
            raise self.error
        return self.result
