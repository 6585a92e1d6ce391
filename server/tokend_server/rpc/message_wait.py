"""Waiting for the message of a call whose headers have come."""

import logging
import threading
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import grpc

from tokend_server.clock import Clock
from tokend_server.errors import FieldViolation, ValidationFailed

_log = logging.getLogger(__name__)

#: Seconds between two looks at the calls that wait. A message that belongs to its headers is there long before.
_INTERVAL = 0.1

#: Seconds that gRPC may take to say that a call without a message is cancelled; it says so nearly at once.
_SETTLING = 0.1


class MessageWait:
    """Waits for messages in the threads of their calls, and sees to it that this costs others nothing.

    A call whose message stays away has its thread replaced while it waits, and is cancelled in the end.

    Args:
        timeout: Seconds that a message may take.
        replace: Is told, again and again, how many threads are waiting.
        clock: The time.
        interval: Seconds between two looks.
    """

    def __init__(
        self, timeout: float, replace: Callable[[int], None], clock: Clock, *, interval: float = _INTERVAL
    ) -> None:
        self._timeout = timeout
        self._replace = replace
        self._clock = clock
        self._interval = interval
        self._waiting: dict[grpc.ServicerContext, float] = {}
        self._replaced = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="grpc-messages", daemon=True)
        self._thread.start()

    def receiving(self, behavior: Callable[..., Any]) -> Callable[..., Any]:
        """A behavior that takes the iterator of a call's messages, and hands on the first and only one."""

        @wraps(behavior)
        def received(messages: Iterator[bytes], context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - as grpc calls it
            self._waiting[context] = self._clock.monotonic()
            try:
                message = _first(messages, context)
            finally:
                del self._waiting[context]
            return behavior(message, context)

        return received

    def stop(self) -> None:
        """Looks no more."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(self._interval):
            self.look()

    def look(self) -> None:
        """Looks at the calls that wait."""
        now = self._clock.monotonic()
        waiting = [(context, now - since) for context, since in self._waiting.copy().items()]
        for context, waited in waiting:
            if waited >= self._timeout:
                context.cancel()
        late = sum(waited >= self._interval for _, waited in waiting)
        if late != self._replaced:
            self._replace_threads(late)

    def _replace_threads(self, late: int) -> None:
        try:
            self._replace(late)
        except RuntimeError:  # there are no more threads; the next look asks anew
            _log.warning("no thread can take the place of one that waits for a message", extra={"waiting": late})
        else:
            self._replaced = late


def _first(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
    """The first message of a call.

    Raises:
        RpcError: The call has ended before; gRPC knows this error of its own again.
        ValidationFailed: The caller sends none.
    """
    for message in messages:
        return message
    # Of a call that is cancelled, gRPC may tell first that it has no message, and only then that it has ended.
    ended = threading.Event()
    if not context.add_callback(ended.set) or ended.wait(_SETTLING):
        next(messages, None)
    raise ValidationFailed([FieldViolation("", "Request must be one message")])
