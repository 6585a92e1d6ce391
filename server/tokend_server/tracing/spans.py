"""Spans of calls, by OpenTelemetry's instrumentation of gRPC."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

import grpc
from opentelemetry.propagate import extract
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider, format_trace_id, get_current_span

from tokend_server.rpc.interceptors.layers import Behavior, Layer, Method
from tokend_server.rpc.tracing import Span
from tokend_server.tracing.opentelemetry_internals import behavior_tracer

#: Health and reflection: their spans are many and of no use.
_UNTRACED = "grpc."


def tracing_calls(provider: TracerProvider) -> Layer:
    """Returns a layer that makes a span for each call of a unary method."""
    traced = behavior_tracer(provider)

    def layer(method: Method, behavior: Behavior) -> Behavior:
        if method.kind != "unary" or method.service.startswith(_UNTRACED):
            return behavior
        return traced(f"{method.service}/{method.name}", _setting_code(behavior))

    return layer


def span_factory(provider: TracerProvider) -> Span:
    """Returns a function that makes spans of calls without gRPC, by OpenTelemetry's semantic conventions for RPC."""
    tracer = provider.get_tracer(__name__)

    @contextmanager
    def span(service: str, operation: str, headers: Mapping[str, str]) -> Iterator[Callable[[str], object]]:
        attributes = {"rpc.system": "aws-api", "rpc.service": service, "rpc.method": operation}
        name, parent = f"{service}/{operation}", extract(headers)
        with tracer.start_as_current_span(name, parent, SpanKind.SERVER, attributes) as begun:
            yield lambda code: begun.set_status(Status(StatusCode.ERROR, code))

    return span


def current_trace_id() -> str | None:
    """Returns the id of the current span's trace, as 32 hexadecimal digits."""
    context = get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else None


def _setting_code(behavior: Behavior) -> Behavior:
    """Sets the code of a failed call again, because the instrumentation ignores `abort_with_status`."""

    @wraps(behavior)
    def setting_code(request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - as grpc calls it
        try:
            return behavior(request, context)
        except Exception:
            code: grpc.StatusCode | None = context.code()  # type: ignore[attr-defined] # missing in the stubs
            context.set_code(code or grpc.StatusCode.UNKNOWN)
            raise

    return setting_code
