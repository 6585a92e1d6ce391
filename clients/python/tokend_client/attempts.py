"""The second attempt of a call that a replica leaves without an answer (`clients/README.md`)."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import grpc

_FIRST_SHARE = 0.5
_FIRST_AT_LEAST = 1.0


class Sent(Protocol):
    """A call under way: the part of `grpc.Call` and `grpc.Future` that is needed here."""

    def cancel(self) -> object: ...

    def add_done_callback(self, callback: Callable[[Any], object]) -> object: ...

    def cancelled(self) -> bool: ...

    def code(self) -> grpc.StatusCode: ...


def attempt_timeouts(timeout: float, *, repeats: bool) -> Iterator[float]:
    """The seconds that each attempt of a call may take, asked for as it is sent.

    Args:
        timeout: Seconds of the whole call, from the first of them on.
        repeats: Whether the call may be made twice.
    """
    first = max(timeout * _FIRST_SHARE, _FIRST_AT_LEAST)
    if not repeats or first >= timeout:
        yield timeout
        return
    begun = time.monotonic()
    yield first
    yield timeout - (time.monotonic() - begun)


class Attempts:
    """Makes a call without waiting for it, and once more if there is no answer.

    Args:
        send: Sends an attempt that may take so many seconds.
        timeout: Seconds of the whole call.
        done: Called with the attempt that counts, when it has ended.
        failed: Called instead, with the exception that `send` raised the second time.
    """

    def __init__(
        self,
        send: Callable[[float], Sent],
        timeout: float,
        done: Callable[[Any], object],
        failed: Callable[[Exception], object],
    ) -> None:
        self._send = send
        self._timeouts = attempt_timeouts(timeout, repeats=True)
        self._done = done
        self._failed = failed
        self._lock = threading.Lock()
        self._current: Sent | None = None
        self._cancelled = False

    def start(self) -> None:
        """Sends the first attempt; what `send` raises comes through."""
        self._watch(self._send(next(self._timeouts)))

    def cancel(self) -> None:
        """Ends it: it is done as a cancelled call is, at once or when it comes to be sent."""
        with self._lock:
            self._cancelled = True
            current = self._current
        if current is not None:
            current.cancel()

    def _watch(self, sent: Sent) -> None:
        with self._lock:
            self._current = sent
            cancelled = self._cancelled
        if cancelled:
            sent.cancel()
        sent.add_done_callback(self._ended)

    def _ended(self, sent: Any) -> None:  # noqa: ANN401 - what `done` takes
        timeout = None
        if not self._cancelled and not sent.cancelled() and sent.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            timeout = next(self._timeouts, None)
        if timeout is None:
            self._done(sent)
            return
        try:
            again = self._send(timeout)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait have to get it
            self._failed(error)
        else:
            self._watch(again)
