"""The span of a call, in a gRPC server in this process."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from tests.support.grpc_service import TIMEOUT, failure, insecure_channel

from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.status import Status
from tokend_server.tracing.export import EXPORTED_ATTRIBUTES, RedactingExporter
from tokend_server.tracing.spans import current_trace_id, tracing_calls

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT_ID = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"
CANARY = "canary-c0ffee"

METHOD = Method("example.v1.Parrot", "Repeat", "unary")

#: Failures that are the server's, by the conventions for spans of gRPC servers.
SERVER_FAULTS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}


class Served:
    """A method with the tracing layer, and its spans as exported."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self.provider = provider or TracerProvider(shutdown_on_exit=False)
        self.exported = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(RedactingExporter(self.exported)))
        self.answer: Callable[[bytes, grpc.ServicerContext], bytes] = lambda request, _context: request
        self.layer = tracing_calls(self.provider)
        self.channel: grpc.Channel

    def call(self, request: bytes = b"hello", metadata: tuple[tuple[str, str], ...] = ()) -> bytes:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(
            f"/{METHOD.service}/{METHOD.name}", None, None
        )
        return call(request, metadata=metadata, timeout=TIMEOUT)

    def span(self) -> ReadableSpan:
        """Returns the only span. A span ends before the response of its call is sent."""
        (span,) = self.exported.get_finished_spans()
        return span


@contextmanager
def serving(served: Served) -> Iterator[Served]:
    workers = ThreadPoolExecutor(1)
    server = grpc.server(workers)

    def behavior(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        return served.answer(next(requests), context)

    # As the server registers its unary methods: layers see them before the message is read.
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(served.layer(METHOD, behavior))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(METHOD.service, {METHOD.name: handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with insecure_channel(f"127.0.0.1:{port}") as served.channel:
            yield served
    finally:
        server.stop(0).wait()
        workers.shutdown()
        served.provider.shutdown()


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(Served()) as running:
        yield running


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def abort(code: grpc.StatusCode, text: str = "") -> Callable[[bytes, grpc.ServicerContext], bytes]:
    def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort_with_status(Status(code, text, ()))

    return answer


def test_a_call_is_a_span_of_the_server(served: Served) -> None:
    assert served.call() == b"hello"
    span = served.span()
    assert (span.name, span.kind) == ("example.v1.Parrot/Repeat", SpanKind.SERVER)
    assert attributes(span).items() >= {
        ("rpc.system", "grpc"),
        ("rpc.service", "example.v1.Parrot"),
        ("rpc.method", "Repeat"),
        ("rpc.grpc.status_code", 0),
        ("net.peer.ip", "127.0.0.1"),
    }
    assert span.status.status_code is StatusCode.UNSET
    assert span.start_time
    assert span.end_time
    assert span.start_time < span.end_time


def test_each_call_has_a_span(served: Served) -> None:
    for _ in range(3):
        served.call()
    spans = served.exported.get_finished_spans()
    assert len({span.context.span_id for span in spans if span.context}) == 3
    assert all(span.parent is None for span in spans)


def test_the_span_belongs_to_the_callers_trace(served: Served) -> None:
    served.call(metadata=(("traceparent", TRACEPARENT),))
    span = served.span()
    assert span.context
    assert span.parent
    assert f"{span.context.trace_id:032x}" == TRACE_ID
    assert f"{span.parent.span_id:016x}" == PARENT_ID


@pytest.mark.parametrize("metadata", [(), (("traceparent", "00-no-trace-01"),)])
def test_a_call_without_a_trace_begins_one(served: Served, metadata: tuple[tuple[str, str], ...]) -> None:
    served.answer = lambda _request, _context: (current_trace_id() or "").encode()
    answer = served.call(metadata=metadata)
    span = served.span()
    assert span.context
    assert answer == f"{span.context.trace_id:032x}".encode()


def test_the_trace_id_is_available_during_the_call(served: Served) -> None:
    served.answer = lambda _request, _context: (current_trace_id() or "").encode()
    assert served.call(metadata=(("traceparent", TRACEPARENT),)) == TRACE_ID.encode()


def test_the_trace_is_known_where_no_span_is_recorded() -> None:
    with serving(Served(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))) as served:
        served.answer = lambda _request, _context: (current_trace_id() or "").encode()
        assert served.call(metadata=(("traceparent", TRACEPARENT),)) == TRACE_ID.encode()
        assert served.exported.get_finished_spans() == ()


def test_outside_of_calls_there_is_no_trace(served: Served) -> None:
    served.call()
    assert current_trace_id() is None


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_a_failed_call_has_the_code_that_its_caller_saw(served: Served, code: grpc.StatusCode) -> None:
    served.answer = abort(code, "no")
    seen = failure(served.call)
    assert (seen.code, seen.text) == (code, "no")
    span = served.span()
    assert attributes(span)["rpc.grpc.status_code"] == code.value[0]
    assert (span.status.status_code is StatusCode.ERROR) is (code in SERVER_FAULTS)


def test_an_exception_that_was_not_turned_into_a_status_is_an_unknown_error(served: Served) -> None:
    def answer(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        raise LookupError(CANARY)

    served.answer = answer
    assert failure(served.call).code is grpc.StatusCode.UNKNOWN
    span = served.span()
    assert attributes(span)["rpc.grpc.status_code"] == grpc.StatusCode.UNKNOWN.value[0]
    assert span.status.status_code is StatusCode.ERROR


def test_no_text_of_the_caller_or_of_an_error_leaves_in_a_span(served: Served) -> None:
    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            int(request)
        except ValueError:
            context.abort_with_status(Status(grpc.StatusCode.INTERNAL, CANARY, ()))
        return b""

    served.answer = answer
    failure(lambda: served.call(CANARY.encode(), metadata=(("user-agent", CANARY), ("x-extra", CANARY))))
    span = served.span()
    assert CANARY not in span.to_json()
    assert span.events == ()
    assert span.status.description is None
    assert attributes(span).keys() <= EXPORTED_ATTRIBUTES


@pytest.mark.parametrize(
    "method",
    [
        Method("grpc.health.v1.Health", "Check", "unary"),
        Method("grpc.health.v1.Health", "Watch", "server_stream"),
        Method("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", "bidi_stream"),
        Method("example.v1.Parrot", "Listen", "client_stream"),
    ],
)
def test_health_reflection_and_streams_are_not_traced(served: Served, method: Method) -> None:
    def behavior(request: bytes, _context: grpc.ServicerContext) -> bytes:
        return request

    assert served.layer(method, behavior) is behavior


#: Texts that HTTP/2 allows.
_VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=80)


@given(metadata=st.lists(st.tuples(st.sampled_from(["traceparent", "tracestate", "baggage", "x-b3"]), _VALUES)))
def test_calls_succeed_with_any_trace_headers(shared: Served, metadata: list[tuple[str, str]]) -> None:
    assert shared.call(metadata=tuple(metadata)) == b"hello"


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    with serving(Served()) as running:
        yield running
