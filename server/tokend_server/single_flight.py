"""Sharing of identical calls in flight: the first makes the call, the others wait for it until their own deadlines."""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from tokend_server.clock import Deadline

_Result = TypeVar("_Result")


class CallTimedOut(Exception):
    """Raised when a caller's deadline passes before there is a result."""


class Terms(NamedTuple):
    """The terms on which a caller shares a call.

    Attributes:
        key: The key by which calls are identical.
        repeats_timed_out: Whether the call is repeated if the caller that made it ran out of time.
    """

    key: bytes
    repeats_timed_out: bool = True


class SingleFlight:
    """The calls in flight, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[bytes, _Flight] = {}

    def do(self, terms: Terms, make: Callable[[], _Result], deadline: Deadline) -> tuple[_Result, bool]:
        """Makes a call, or waits for an identical call in flight.

        Args:
            terms: The caller's terms.
            make: Makes the call in this thread, and raises `CallTimedOut` when the deadline passes.
            deadline: The caller's deadline.

        Returns:
            The result, and whether another caller made the call.

        Raises:
            CallTimedOut: The deadline passed.
            Exception: The error of the call, which all sharing callers get.
        """
        while deadline.remaining():
            flight, is_mine = self._join(terms.key)
            if is_mine:
                return self._make(terms.key, flight, make), False
            done = flight.done.wait(min(deadline.remaining(), threading.TIMEOUT_MAX))
            if done and not (terms.repeats_timed_out and isinstance(flight.error, CallTimedOut)):
                return flight.answer(), True
        raise CallTimedOut

    def _join(self, key: bytes) -> tuple["_Flight", bool]:
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
            # No caller may join once the result is known, because it would be older than the caller's request.
            with self._lock:
                del self._flights[key]
            flight.done.set()
        return result


class _Flight:
    __slots__ = ("done", "error", "result")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def answer(self) -> Any:  # noqa: ANN401 - the result of any call
        if self.error is not None:
            raise self.error
        return self.result
