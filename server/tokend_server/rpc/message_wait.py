"""Waiting for the messages of calls whose headers have come."""

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

#: Seconds between two looks at the calls that wait. A message that belongs to its headers is there long before.
_INTERVAL = 0.1

#: Seconds that gRPC may take to say that a call without a message is cancelled. It says so nearly at once, unless the
#: machine is busy. The call counts as one that waits for its message meanwhile.
_SETTLING = 1.0


class Replaceable(Protocol):
    """Threads that can be replaced while they only wait."""

    @property
    def spare(self) -> int:
        """How many of them can be."""
        ...

    def replace(self, idle: int, /) -> None:
        """Sees to it that as many threads work as ever, although so many of them only wait."""
        ...


class _Since(NamedTuple):
    """Which thread waits, since when, and for which call."""

    threads: Replaceable
    began_at: float
    call: Call | None


class _Late(NamedTuple):
    """A call that has waited for an interval, and whose it is: a caller's, else one of strangers on a host."""

    began_at: float
    context: grpc.ServicerContext
    owner: str


class MessageWait:
    """Waits for messages, and for clients that take theirs, in the threads of their calls, at little cost to others.

    A call that waits for long has its thread replaced while it does, and is cancelled in the end. Where more of them
    wait than there are spare threads, those of the callers with the most are cancelled at once.

    Args:
        timeout: Seconds that a message may take.
        clock: The time.
        interval: Seconds between two looks.
    """

    def __init__(self, timeout: float, clock: Clock, *, interval: float = _INTERVAL) -> None:
        self._timeout = timeout
        self._clock = clock
        self._interval = interval
        self._waiting: dict[grpc.ServicerContext, _Since] = {}
        self._replaced: dict[Replaceable, int] = {}
        self._looks = Repeating(self.look, interval, "grpc-messages")
        self._looks.start()

    def receiving(self, behavior: Callable[..., Any], threads: Replaceable) -> Callable[..., Any]:
        """A behavior that takes the iterator of a call's messages, and hands on the first and only one.

        Args:
            behavior: Answers the message.
            threads: Whose thread waits for it.
        """

        @wraps(behavior)
        def received(messages: Iterator[bytes], context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as grpc calls it
            self._waiting[context] = _Since(threads, self._clock.monotonic(), CURRENT_CALL.get())
            try:
                message = _first(messages, context)
            finally:
                del self._waiting[context]
            return behavior(message, context, *rest)

        return received

    def receiving_each(self, behavior: Callable[..., Any], threads: Replaceable) -> Callable[..., Any]:
        """A behavior that takes the iterator of a stream's messages, each of which may take as long as a first one.

        Args:
            behavior: Answers the messages.
            threads: Whose threads wait for them.
        """

        @wraps(behavior)
        def received(messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - as grpc calls it
            def each() -> Iterator[bytes]:
                with suppress(CallEnded):
                    while (message := self.waited_for(lambda: _next(messages), context, threads)) is not None:
                        yield message

            return behavior(each(), context)

        return received

    def waited_for(self, wait: Callable[[], Any], context: grpc.ServicerContext, threads: Replaceable) -> Any:  # noqa: ANN401 - whatever it is
        """Waits for the client of a call.

        Args:
            wait: Waits, and returns when the call is cancelled.
            context: The call.
            threads: Whose thread waits.
        """
        self._waiting[context] = _Since(threads, self._clock.monotonic(), CURRENT_CALL.get())
        try:
            return wait()
        finally:
            del self._waiting[context]

    def stop(self) -> None:
        """Looks no more."""
        self._looks.stop()

    def look(self) -> None:
        """Looks at the calls that wait."""
        now = self._clock.monotonic()
        late: dict[Replaceable, list[_Late]] = defaultdict(list)
        for context, since in self._waiting.copy().items():
            if now - since.began_at >= self._timeout:
                context.cancel()
            if now - since.began_at >= self._interval:
                late[since.threads].append(_Late(since.began_at, context, _owner(since.call, context)))
        for threads, calls in late.items():
            for context in _too_many(calls, threads.spare):
                context.cancel()
        for threads in {*late, *self._replaced}:
            self._replace(threads, len(late.get(threads, ())))

    def _replace(self, threads: Replaceable, idle: int) -> None:
        if idle != self._replaced.get(threads, 0):
            threads.replace(idle)
            self._replaced[threads] = idle


def _too_many(calls: Sequence[_Late], most: int) -> Iterator[grpc.ServicerContext]:
    """Which calls have to end for the most to be left: of the callers with the most of them, the oldest."""
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
    """The first message of a call.

    Raises:
        CallEnded: The call has ended before.
        ValidationFailed: The caller sends none.
    """
    message = _next(messages)
    if message is not None:
        return message
    # Of a call that is cancelled, gRPC may tell first that it has no message, and only then that it has ended.
    ended = threading.Event()
    if not context.add_callback(ended.set) or ended.wait(_SETTLING):
        _next(messages)
    raise ValidationFailed([FieldViolation("", "Request must be one message")])


def _next(messages: Iterator[bytes]) -> bytes | None:
    """The next message of a call; None when there is no other.

    Raises:
        CallEnded: The call has ended before.
    """
    try:
        return next(messages, None)
    except grpc.RpcError as error:
        # gRPC keeps its error with the state of the call, which the traceback leads back to. Together they would be
        # left to the garbage collector, and the call would keep its stream until it runs.
        error.__traceback__ = None
        raise CallEnded from None
