"""What tracing adds to the service, if anything traces it."""

from collections.abc import Callable
from dataclasses import dataclass

from tokend_server.rpc.interceptors.layers import Behavior, Layer, Method


def _untraced(_method: Method, behavior: Behavior) -> Behavior:
    return behavior


@dataclass(frozen=True, slots=True)
class Tracing:
    """What tracing adds to the service; by default nothing.

    Attributes:
        layer: Makes a span of each call. What fails a call belongs inside it.
        trace_id: The trace of the call that the current thread works on; None without one.
        stop: Exports what is left, as far as that can be done in a few seconds.
    """

    layer: Layer = _untraced
    trace_id: Callable[[], str | None] = lambda: None
    stop: Callable[[], None] = lambda: None


UNTRACED = Tracing()
