"""The interface between the service and tracing."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeAlias

from tokend_server.rpc.interceptors.layers import Behavior, Layer, Method


def _untraced(_method: Method, behavior: Behavior) -> Behavior:
    return behavior


def _no_span(
    _service: str, _operation: str, _headers: Mapping[str, str]
) -> AbstractContextManager[Callable[[str], object]]:
    return nullcontext(lambda _code: None)


#: Makes a span around a call, from its service, its operation and the headers with its trace. The context manager
#: returns a function to be called with the code of a failure.
Span: TypeAlias = Callable[[str, str, Mapping[str, str]], AbstractContextManager[Callable[[str], object]]]


@dataclass(frozen=True, slots=True)
class Tracing:
    """The parts of tracing in the service; by default they do nothing.

    Attributes:
        layer: Makes a span of each call. Layers that fail a call belong inside it.
        span: Makes a span of a call that does not use gRPC, from the names of its service and operation.
        trace_id: Returns the trace of the current call; None if it has none.
        stop: Exports the remaining spans, for at most a few seconds.
    """

    layer: Layer = _untraced
    span: Span = _no_span
    trace_id: Callable[[], str | None] = lambda: None
    stop: Callable[[], None] = lambda: None


UNTRACED = Tracing()
