"""What is used of gRPC that is no public interface of it: what its server submits to a thread pool for each call.

A release of gRPC that submits something else is noticed by tests/rpc/test_fair_queue.py and by
tests/rpc/test_nothing_left.py. The service then still answers, with all calls in one line.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc

#: Where they stand among the arguments: after the function that `contextvars.Context.run` calls.
_EVENT, _STATE, _BEHAVIOR = 1, 2, 3


class SubmittedCall:
    """A call as gRPC's server submits it.

    Args:
        arguments: Those of `submit` after the function.
    """

    __slots__ = ("_arguments", "_call")

    def __init__(self, arguments: Sequence[Any]) -> None:
        self._arguments = arguments
        self._call = getattr(arguments[_EVENT], "call", None) if len(arguments) > _BEHAVIOR else None

    @property
    def connection(self) -> str:
        """Its connection, as gRPC calls its peer; empty where that is not known."""
        return "" if self._call is None else self._call.peer().decode()

    @property
    def metadata_fields(self) -> int:
        """How many fields its metadata have."""
        return 0 if self._call is None else len(self._arguments[_EVENT].invocation_metadata or ())

    @property
    def path(self) -> str:
        """The path of its method, from the attribute `path` of its behavior; empty where that has none."""
        return "" if self._call is None else getattr(self._arguments[_BEHAVIOR], "path", "")

    @property
    def ending(self) -> grpc.StatusCode:
        """How it has ended, if its client or its deadline has ended it."""
        return ended_by(self._arguments[_EVENT].call_details.deadline - time.time())

    def on_end(self, callback: Callable[[], None]) -> None:
        """Has a function called when the call has ended, however it does.

        It must be asked for in the thread that submits, before anything works on the call.
        """
        if self._call is not None:
            self._arguments[_STATE].callbacks.append(callback)

    def answered_by(self, behavior: Callable[..., Any]) -> Sequence[Any]:
        """The arguments that have another behavior answer the call."""
        if self._call is None:
            return self._arguments
        return (*self._arguments[:_BEHAVIOR], behavior, *self._arguments[_BEHAVIOR + 1 :])


def ended_by(seconds_left: float) -> grpc.StatusCode:
    """The code of a call that has ended without an answer, by the time that it had left."""
    return grpc.StatusCode.CANCELLED if seconds_left > 0 else grpc.StatusCode.DEADLINE_EXCEEDED
