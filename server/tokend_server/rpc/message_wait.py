"""Waits for the messages of calls whose headers have been received."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any, NamedTuple, Protocol

import grpc

from tokend_server.clock import Clock
from tokend_server.errors import FieldViolation, ValidationFailed
from tokend_server.process.repeating import Repeating
from tokend_server.rpc.call import CURRENT_CALL, Call
from tokend_server.rpc.ended import CallEnded
from tokend_server.rpc.peers import host_of

#: Seconds between two checks of the calls that wait. A message that follows its headers arrives long before.
_INTERVAL = 0.1

#: Seconds that gRPC may take to report that a call without a message is cancelled. It usually does so at once, unless
#: the machine is busy. Until then the call counts as waiting for its message.
_CANCELLATION_TIMEOUT = 1.0


class Replaceable(Protocol):
    """Threads that can be replaced while they are blocked."""

    @property
    def spare(self) -> int:
        """The number of threads that can be replaced."""
        ...

    def replace(self, idle: int, /) -> None:
        """Keeps the number of working threads constant although `idle` of them are blocked."""
        ...


class _Waiting(NamedTuple):
    """A thread that waits: since when, and for which call."""

    threads: Replaceable
    began_at: float
    call: Call | None


class _Late(NamedTuple):
    """A call that has waited for an interval, and its owner: the caller, or the host if the caller is unknown."""

    began_at: float
    context: grpc.ServicerContext
    owner: str


class MessageWait:
    """Waits for messages, and for clients to read responses, in the threads of their calls, at little cost to others.

    If a call waits for long, its thread is replaced, and in the end the call is cancelled. If more calls wait than
    there are spare threads, those of the callers with the most such calls are cancelled at once.

    Args:
        timeout: The timeout of a message, in seconds.
        clock: The time.
        interval: Seconds between two checks.
    """

    def __init__(self, timeout: float, clock: Clock, *, interval: float = _INTERVAL) -> None:
        self._timeout = timeout
        self._clock = clock
        self._interval = interval
        self._waiting: dict[grpc.ServicerContext, _Waiting] = {}
        self._replaced: dict[Replaceable, int] = {}
        self._checks = Repeating(self.check, interval, "grpc-messages")
        self._checks.start()

    def receiving(self, behavior: Callable[..., Any], threads: Replaceable) -> Callable[..., Any]:
        """Returns a behavior that takes an iterator of a call's messages, and passes on the first and only message.

        Args:
            behavior: Answers the message.
            threads: The threads of which one waits for it.
        """

        @wraps(behavior)
        def received(messages: Iterator[bytes], context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as grpc calls it
            self._waiting[context] = _Waiting(threads, self._clock.monotonic(), CURRENT_CALL.get())
            try:
                message = _first(messages, context)
            finally:
                del self._waiting[context]
            return behavior(message, context, *rest)

        return received

    def receiving_each(self, behavior: Callable[..., Any], threads: Replaceable) -> Callable[..., Any]:
        """Returns a behavior that takes an iterator of a stream's messages; the timeout applies to each of them.

        Args:
            behavior: Answers the messages.
            threads: The threads of which one waits for each.
        """

        @wraps(behavior)
        def received(messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - as grpc calls it
            def each() -> Iterator[bytes]:
                with suppress(CallEnded):
                    while (message := self.wait_for_client(lambda: _next(messages), context, threads)) is not None:
                        yield message

            return behavior(each(), context)

        return received

    def wait_for_client(self, wait: Callable[[], Any], context: grpc.ServicerContext, threads: Replaceable) -> Any:  # noqa: ANN401 - of any type
        """Waits for the client of a call.

        Args:
            wait: Waits, and returns when the call is cancelled.
            context: The call.
            threads: The threads of which one waits.
        """
        self._waiting[context] = _Waiting(threads, self._clock.monotonic(), CURRENT_CALL.get())
        try:
            return wait()
        finally:
            del self._waiting[context]

    def stop(self) -> None:
        """Stops the checks."""
        self._checks.stop()

    def check(self) -> None:
        """Checks the calls that wait."""
        now = self._clock.monotonic()
        late: dict[Replaceable, list[_Late]] = defaultdict(list)
        for context, since in self._waiting.copy().items():
            if now - since.began_at >= self._timeout:
                context.cancel()
            if now - since.began_at >= self._interval:
                late[since.threads].append(_Late(since.began_at, context, _owner(since.call, context)))
        for threads, calls in late.items():
            for context in _excess_calls(calls, threads.spare):
                context.cancel()
        for threads in {*late, *self._replaced}:
            self._replace(threads, len(late.get(threads, ())))

    def _replace(self, threads: Replaceable, idle: int) -> None:
        if idle != self._replaced.get(threads, 0):
            threads.replace(idle)
            self._replaced[threads] = idle


def _excess_calls(calls: Sequence[_Late], most: int) -> Iterator[grpc.ServicerContext]:
    """Yields the calls to cancel so that `most` remain: the oldest of the callers with the most such calls."""
    if len(calls) <= most:
        return
    owned: dict[str, list[_Late]] = defaultdict(list)
    for call in sorted(calls, key=lambda call: call.began_at, reverse=True):
        owned[call.owner].append(call)
    for _ in range(len(calls) - most):
        yield max(owned.values(), key=len).pop().context


def _owner(call: Call | None, context: grpc.ServicerContext) -> str:
    return (call and call.caller) or host_of(context.peer())


def _first(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
    """Returns the first message of a call.

    Raises:
        CallEnded: The call has ended before.
        ValidationFailed: The caller sends no message.
    """
    message = _next(messages)
    if message is not None:
        return message
    # For a cancelled call, gRPC may first report that there is no message, and only then that the call has ended.
    ended = threading.Event()
    if not context.add_callback(ended.set) or ended.wait(_CANCELLATION_TIMEOUT):
        _next(messages)
    raise ValidationFailed([FieldViolation("", "Request must be one message")])


def _next(messages: Iterator[bytes]) -> bytes | None:
    """Returns the next message of a call; None if there are no more.

    Raises:
        CallEnded: The call has ended before.
    """
    try:
        return next(messages, None)
    except grpc.RpcError as error:
        # The call's state refers to gRPC's error, whose traceback refers back to the state. This cycle would keep the
        # call and its stream until the garbage collector runs.
        error.__traceback__ = None
        raise CallEnded from None
