"""What tracing adds to the service, if anything traces it."""

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


#: A span around a call: of which service and operation, and the headers that say to which trace it belongs. What it
#: gives is called with the code of a failure.
Span: TypeAlias = Callable[[str, str, Mapping[str, str]], AbstractContextManager[Callable[[str], object]]]


@dataclass(frozen=True, slots=True)
class Tracing:
    """What tracing adds to the service; by default nothing.

    Attributes:
        layer: Makes a span of each call. What fails a call belongs inside it.
        span: Makes a span of a call that is none of gRPC's: of a service, by its name, to one of its operations.
        trace_id: The trace of the call that the current thread works on; None without one.
        stop: Exports what is left, as far as that can be done in a few seconds.
    """

    layer: Layer = _untraced
    span: Span = _no_span
    trace_id: Callable[[], str | None] = lambda: None
    stop: Callable[[], None] = lambda: None


UNTRACED = Tracing()
