"""The second attempt of a call to which a replica does not respond (`clients/README.md`).

gRPC's C core cannot exclude the replica of the first attempt. However, round robin sends two concurrent calls to two
replicas: where possible, the second attempt is such a pair, and the first response counts.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol

import grpc

_FIRST_SHARE = 0.5
_MIN_FIRST_TIMEOUT = 1.0

#: Seconds; gRPC treats more than some centuries, and infinity, as an expired timeout.
_MAX_TIMEOUT = 1e9


class SecondAttempt(IntEnum):
    """How many calls the second attempt consists of.

    Attributes:
        NONE: No second attempt, since it would fail if the first one has taken effect: an unlink.
        ONE: Calls with side effects are not sent twice at the same time.
        PAIR: All other calls.
    """

    NONE = 0
    ONE = 1
    PAIR = 2


class SentCall(Protocol):
    """A call in flight: the parts of `grpc.Call` and `grpc.Future` that are used here."""

    def cancel(self) -> object: ...

    def add_done_callback(self, callback: Callable[[Any], object]) -> object: ...

    def cancelled(self) -> bool: ...

    def code(self) -> grpc.StatusCode: ...

    def result(self) -> Any: ...  # noqa: ANN401 - the response


def attempt_timeouts(timeout: float, second: SecondAttempt) -> Iterator[float]:
    """Yields the timeout of each attempt of a call in seconds, computed when the attempt is sent.

    Args:
        timeout: Seconds of the whole call, from the first attempt on.
        second: What the second attempt consists of.
    """
    timeout = min(timeout, _MAX_TIMEOUT)
    first = max(timeout * _FIRST_SHARE, _MIN_FIRST_TIMEOUT)
    if not second or first >= timeout:
        yield timeout
        return
    begun = time.monotonic()
    yield first
    yield timeout - (time.monotonic() - begun)


def first_successful(calls: Sequence[SentCall]) -> SentCall:
    """Waits for calls in flight. Returns the first to succeed, and cancels the others; else the last to fail."""
    ended: SimpleQueue[SentCall] = SimpleQueue()
    for call in calls:
        call.add_done_callback(partial(_put_call, ended, call))
    for _ in calls:
        call = ended.get()
        if call.code() is grpc.StatusCode.OK:
            break
    for other in calls:
        other.cancel()
    return call


def _put_call(ended: "SimpleQueue[SentCall]", call: SentCall, _: object) -> None:
    ended.put(call)


class Attempts:
    """Makes a call without waiting for it, and a second attempt if there is no response.

    Args:
        send: Sends an attempt with a timeout in seconds.
        timeout: Seconds of the whole call.
        done: Called with the decisive attempt when it has ended.
        failed: Called instead with the exception of `send` for the second attempt.
    """

    def __init__(
        self,
        send: Callable[[float], SentCall],
        timeout: float,
        done: Callable[[Any], object],
        failed: Callable[[Exception], object],
    ) -> None:
        self._send = send
        self._timeouts = attempt_timeouts(timeout, SecondAttempt.PAIR)
        self._done = done
        self._failed = failed
        self._lock = threading.Lock()
        self._in_flight: list[SentCall] = []
        self._cancelled = False
        self._is_done = False

    def start(self) -> None:
        """Sends the first attempt. Exceptions of `send` propagate."""
        self._watch([self._send(next(self._timeouts))])

    def cancel(self) -> None:
        """Cancels the call: it ends like a cancelled call, at once or when it is due to be sent."""
        with self._lock:
            self._cancelled = True
            in_flight = list(self._in_flight)
        for sent in in_flight:
            sent.cancel()

    def _watch(self, attempts: list[SentCall]) -> None:
        with self._lock:
            self._in_flight = list(attempts)
            cancelled = self._cancelled
        for sent in attempts:
            if cancelled:
                sent.cancel()
            sent.add_done_callback(partial(self._on_done, sent))

    def _on_done(self, sent: SentCall, _: object) -> None:
        with self._lock:
            self._in_flight.remove(sent)
            others = list(self._in_flight)
            if self._is_done or (others and sent.code() is not grpc.StatusCode.OK):
                return
            timeout = None
            if not self._cancelled and not sent.cancelled() and sent.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                timeout = next(self._timeouts, None)
            self._is_done = timeout is None
        if timeout is None:
            for other in others:
                other.cancel()
            self._done(sent)
            return
        try:
            again = [self._send(timeout) for _ in range(SecondAttempt.PAIR)]
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait have to get it
            self._failed(error)
        else:
            self._watch(again)
