"""An OpenTelemetry collector in this process that stores received data, over gRPC or HTTP."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

TIMEOUT = 30

_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True)
class Received:
    """A span with its sender's resource attributes."""

    span: Span
    resource: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def trace_id(self) -> str:
        return self.span.trace_id.hex()

    @property
    def attributes(self) -> dict[str, Any]:
        return _values(self.span.attributes)


class Collector:
    """Stores received messages.

    Attributes:
        endpoint: The value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
        protocol: The value of `OTEL_EXPORTER_OTLP_PROTOCOL`.
        messages: The received messages.
    """

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.endpoint = ""
        self.messages: list[bytes] = []
        self._arrival = threading.Condition()

    @property
    def environment(self) -> dict[str, str]:
        """Returns the environment variables that make a server export to this collector without delay."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": self.protocol,
            "OTEL_BSP_SCHEDULE_DELAY": "10",
        }

    def take(self, message: bytes) -> None:
        with self._arrival:
            self.messages.append(message)
            self._arrival.notify_all()

    def spans(self) -> list[Received]:
        """Returns all spans so far."""
        return [
            Received(span, _values(of_resource.resource.attributes))
            for message in tuple(self.messages)
            for of_resource in ExportTraceServiceRequest.FromString(message).resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]

    def wait_for(self, count: int) -> list[Received]:
        """Waits for this many spans, and returns all."""
        with self._arrival:
            assert self._arrival.wait_for(lambda: len(self.spans()) >= count, TIMEOUT), self.spans()
        return self.spans()


@contextmanager
def grpc_collector() -> Iterator[Collector]:
    collector = Collector("grpc")

    def export(message: bytes, _context: grpc.ServicerContext) -> bytes:
        collector.take(message)
        return b""

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(export)
    service, method = _EXPORT.strip("/").split("/")
    with ThreadPoolExecutor(1) as workers:
        server = grpc.server(workers)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
        collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield collector
        finally:
            server.stop(0).wait()


@contextmanager
def http_collector() -> Iterator[Collector]:
    collector = Collector("http/protobuf")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            collector.take(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield collector
        finally:
            server.shutdown()
            serving.join()


def _values(attributes: Any) -> dict[str, Any]:  # noqa: ANN401 - a protobuf container
    return {pair.key: _value(pair) for pair in attributes}


def _value(pair: KeyValue) -> Any:  # noqa: ANN401 - of several types
    return getattr(pair.value, str(pair.value.WhichOneof("value")))
