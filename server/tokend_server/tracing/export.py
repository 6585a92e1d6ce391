"""Removes secrets from spans before their export."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status

#: The attributes that are exported. Each has few values, or is an address or an id; none is a text from the caller.
EXPORTED_ATTRIBUTES = frozenset(
    {
        "aws.request_id",
        "cloud.region",
        "http.status_code",
        "net.peer.ip",
        "net.peer.name",
        "net.peer.port",
        "retry_attempts",
        "rpc.grpc.status_code",
        "rpc.method",
        "rpc.service",
        "rpc.system",
        "server.address",
        "server.port",
    }
)


class RedactingExporter(SpanExporter):
    """Exports spans without data that may contain secrets.

    Instrumentations record exceptions with their texts and tracebacks, and a failed call with its error's text. These
    may contain data from callers, so only the types of failures are exported.

    Args:
        exporter: Exports the rest.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([_redacted(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _redacted(span: ReadableSpan) -> ReadableSpan:
    attributes = span.attributes or {}
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={name: value for name, value in attributes.items() if name in EXPORTED_ATTRIBUTES},
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
