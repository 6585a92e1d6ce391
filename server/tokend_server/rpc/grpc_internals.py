"""The private interfaces of gRPC that tokend uses: those between its server and a thread pool.

For each call the server submits a function, whose arguments identify the call, to the pool of its behavior or to its
own pool. It uses only `submit` of the pool and `add_done_callback` of the future.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import grpc

from tokend_server.library_parts import require

_SERVER: Any = import_module("grpc._server")

#: Their positions in the arguments, after the function that `contextvars.Context.run` calls.
_EVENT, _STATE, _BEHAVIOR = 1, 2, 3

#: Seconds by which a client's deadline may be before the server's, which runs from when the call arrives. gRPC's core
#: also rounds the timeout that it sends up to three digits.
_DEADLINE_TOLERANCE = 0.05


class CallPool(ThreadPoolExecutor):
    """The type that gRPC requires of a pool. It starts threads only in its own `submit`, which is never called."""

    def __init__(self) -> None:
        super().__init__(1)


def run_in_pool(pool: CallPool, behavior: Any) -> None:  # noqa: ANN401 - functions have no such attribute
    """Makes gRPC submit the calls of a behavior to a pool."""
    behavior.experimental_thread_pool = pool


class SubmittedCall:
    """A call as gRPC's server submits it.

    Args:
        arguments: The arguments of `submit` after the function.

    Attributes:
        connection: Its connection, as gRPC names its peer; empty if it is not known.
        metadata_fields: The number of fields of its metadata.
    """

    __slots__ = ("_arguments", "_call", "connection", "metadata_fields")

    def __init__(self, arguments: Sequence[Any]) -> None:
        self._arguments = arguments
        self._call = getattr(arguments[_EVENT], "call", None) if len(arguments) > _BEHAVIOR else None
        self.connection: str = "" if self._call is None else self._call.peer().decode()
        self.metadata_fields = 0 if self._call is None else len(arguments[_EVENT].invocation_metadata or ())

    @property
    def path(self) -> str:
        """The path of its method, from the attribute `path` of its behavior; empty if there is none."""
        return "" if self._call is None else getattr(self._arguments[_BEHAVIOR], "path", "")

    @property
    def ending(self) -> grpc.StatusCode:
        """The status code of a call that its client or its deadline has ended."""
        return ended_by(self._arguments[_EVENT].call_details.deadline - time.time())

    def on_end(self, callback: Callable[[], None]) -> None:
        """Registers a function that is called when the call ends, for whatever reason.

        Must be called in the thread that submits the call, before any work on it.
        """
        if self._call is not None:
            self._arguments[_STATE].callbacks.append(callback)

    def answered_by(self, behavior: Callable[..., Any]) -> Sequence[Any]:
        """Returns the arguments with which another behavior answers the call."""
        if self._call is None:
            return self._arguments
        return (*self._arguments[:_BEHAVIOR], behavior, *self._arguments[_BEHAVIOR + 1 :])


def ended_by(seconds_left: float) -> grpc.StatusCode:
    """Returns the status code of a call that ended without a response, from its remaining time.

    A client cancels a call at its deadline, in the same words as any other time.
    """
    return grpc.StatusCode.CANCELLED if seconds_left > _DEADLINE_TOLERANCE else grpc.StatusCode.DEADLINE_EXCEEDED


class _Recorder(CallPool):
    """Records the arguments of `submit`."""

    def submit(self, _fn: Callable[..., Any], /, *args: Any, **_kwargs: Any) -> Future[Any]:  # noqa: ANN401
        self.submitted = args
        return Future()


def _submits_as_known(handle: Callable[..., Any]) -> bool:
    event, state, recorder = SimpleNamespace(call=None), _SERVER._RPCState(), _Recorder()

    def behavior() -> None: ...

    run_in_pool(recorder, behavior)
    handler = SimpleNamespace(stream_unary=behavior, stream_stream=behavior)
    handler.request_deserializer = handler.response_serializer = None
    handle(event, state, handler, None)
    found = [recorder.submitted[place] for place in (_EVENT, _STATE, _BEHAVIOR)]
    return found == [event, state, behavior]


require(
    "grpcio",
    {
        "thread pools for the calls of one method": lambda: _submits_as_known(_SERVER._handle_stream_unary),
        "thread pools for the streams of one method": lambda: _submits_as_known(_SERVER._handle_stream_stream),
        "callbacks for the ends of calls": lambda: isinstance(_SERVER._RPCState().callbacks, list),
        "the calls of its events": lambda: all(
            hasattr(_SERVER.cygrpc.RequestCallEvent, name) for name in ("call", "call_details", "invocation_metadata")
        ),
    },
)
