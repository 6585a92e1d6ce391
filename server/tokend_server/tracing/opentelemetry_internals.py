"""What is used of OpenTelemetry's instrumentation of gRPC beyond its interface: that it wraps a handler for all calls.

It comes as an interceptor, which would wrap handlers for every call and lose what they say of their threads. Of the
details of a call it reads the name of the method alone, so that one wrapping serves all calls of the method.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import grpc
from opentelemetry.instrumentation.grpc import server_interceptor
from opentelemetry.trace import NoOpTracerProvider, TracerProvider

from tokend_server.library_parts import require


class _CallDetails(NamedTuple):
    """What the instrumentation reads of `grpc.HandlerCallDetails`."""

    method: str


def tracer_of_behaviors(provider: TracerProvider) -> Callable[[str, Callable[..., Any]], Callable[..., Any]]:
    """Makes a function that wraps the behavior of a unary method, given with its SERVICE/METHOD, in spans."""
    interceptor = server_interceptor(provider)  # type: ignore[no-untyped-call] # it has no types

    def traced(name: str, behavior: Callable[..., Any]) -> Callable[..., Any]:
        handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(behavior)
        wrapped: Callable[..., Any] = interceptor.intercept_service(lambda _: handler, _CallDetails(name)).unary_unary
        return wrapped

    return traced


def _wraps_for_all_calls() -> bool:
    answered = tracer_of_behaviors(NoOpTracerProvider())("tokend.Check/Check", lambda request, _context: request)
    context = SimpleNamespace(invocation_metadata=tuple, peer=lambda: "unix:")
    return [answered(request, context) for request in ("one", "two")] == ["one", "two"]


require("opentelemetry-instrumentation-grpc", {"an interceptor that wraps a method once": _wraps_for_all_calls})
