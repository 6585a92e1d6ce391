"""The private interfaces of OpenTelemetry's gRPC instrumentation that tokend uses: one wrapper for all calls.

The instrumentation is an interceptor, which would wrap handlers at every call and lose their thread pools. It reads
only the name of the method from a call's details, so one wrapper can serve all calls of a method.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import grpc
from opentelemetry.instrumentation.grpc import server_interceptor
from opentelemetry.trace import NoOpTracerProvider, TracerProvider

from tokend_server.library_parts import require


class _CallDetails(NamedTuple):
    """The members of `grpc.HandlerCallDetails` that the instrumentation reads."""

    method: str


def behavior_tracer(provider: TracerProvider) -> Callable[[str, Callable[..., Any]], Callable[..., Any]]:
    """Returns a function that wraps the behavior of a unary method, by its SERVICE/METHOD, in spans."""
    interceptor = server_interceptor(provider)  # type: ignore[no-untyped-call] # it has no types

    def traced(name: str, behavior: Callable[..., Any]) -> Callable[..., Any]:
        handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(behavior)
        wrapped: Callable[..., Any] = interceptor.intercept_service(lambda _: handler, _CallDetails(name)).unary_unary
        return wrapped

    return traced


def _wraps_for_all_calls() -> bool:
    answered = behavior_tracer(NoOpTracerProvider())("tokend.Check/Check", lambda request, _context: request)
    context = SimpleNamespace(invocation_metadata=tuple, peer=lambda: "unix:")
    return [answered(request, context) for request in ("one", "two")] == ["one", "two"]


require("opentelemetry-instrumentation-grpc", {"an interceptor that wraps a method once": _wraps_for_all_calls})
