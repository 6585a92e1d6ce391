"""The second attempt of a call that a replica leaves without an answer (`clients/README.md`).

Nothing tells gRPC's C core to pass over the replica that an attempt has met. Round robin sends two calls at once to two
replicas, though: where it may, the second attempt is such a pair, and the first answer counts.
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
_FIRST_AT_LEAST = 1.0

#: Seconds; gRPC takes more than some centuries, and infinity, for a time that is over.
_LONGEST = 1e9


class SecondAttempt(IntEnum):
    """How many calls it is made of.

    Attributes:
        NONE: The call is made once, since a second one would fail after a first that took effect: an unlink.
        ONE: What changes something is not made twice at the same time.
        PAIR: The rest.
    """

    NONE = 0
    ONE = 1
    PAIR = 2


class Sent(Protocol):
    """A call under way: the part of `grpc.Call` and `grpc.Future` that is needed here."""

    def cancel(self) -> object: ...

    def add_done_callback(self, callback: Callable[[Any], object]) -> object: ...

    def cancelled(self) -> bool: ...

    def code(self) -> grpc.StatusCode: ...

    def result(self) -> Any: ...  # noqa: ANN401 - the response


def attempt_timeouts(timeout: float, second: SecondAttempt) -> Iterator[float]:
    """The seconds that each attempt of a call may take, asked for as it is sent.

    Args:
        timeout: Seconds of the whole call, from the first of them on.
        second: What the second attempt is made of.
    """
    timeout = min(timeout, _LONGEST)
    first = max(timeout * _FIRST_SHARE, _FIRST_AT_LEAST)
    if not second or first >= timeout:
        yield timeout
        return
    begun = time.monotonic()
    yield first
    yield timeout - (time.monotonic() - begun)


def answered_first(calls: Sequence[Sent]) -> Sent:
    """Waits for calls that are under way: the first to succeed, while others are cancelled, or the last to fail."""
    ended: SimpleQueue[Sent] = SimpleQueue()
    for call in calls:
        call.add_done_callback(partial(_put, ended, call))
    for _ in calls:
        call = ended.get()
        if call.code() is grpc.StatusCode.OK:
            break
    for other in calls:
        other.cancel()
    return call


def _put(ended: "SimpleQueue[Sent]", call: Sent, _: object) -> None:
    ended.put(call)


class Attempts:
    """Makes a call without waiting for it, and a pair of them if there is no answer.

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
        self._timeouts = attempt_timeouts(timeout, SecondAttempt.PAIR)
        self._done = done
        self._failed = failed
        self._lock = threading.Lock()
        self._under_way: list[Sent] = []
        self._cancelled = False
        self._is_done = False

    def start(self) -> None:
        """Sends the first attempt; what `send` raises comes through."""
        self._watch([self._send(next(self._timeouts))])

    def cancel(self) -> None:
        """Ends it: it is done as a cancelled call is, at once or when it comes to be sent."""
        with self._lock:
            self._cancelled = True
            under_way = list(self._under_way)
        for sent in under_way:
            sent.cancel()

    def _watch(self, attempts: list[Sent]) -> None:
        with self._lock:
            self._under_way = list(attempts)
            cancelled = self._cancelled
        for sent in attempts:
            if cancelled:
                sent.cancel()
            sent.add_done_callback(partial(self._ended, sent))

    def _ended(self, sent: Sent, _: object) -> None:
        with self._lock:
            self._under_way.remove(sent)
            others = list(self._under_way)
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
