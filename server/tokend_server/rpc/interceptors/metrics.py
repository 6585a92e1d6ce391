"""The layer that counts and times calls."""

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from tokend_server.clock import Clock
from tokend_server.metrics import Metrics
from tokend_server.prometheus_internals import counting
from tokend_server.prometheus_internals import observing as observing_times
from tokend_server.rpc.call import CURRENT_CALL, Call
from tokend_server.rpc.grpc_internals import ended_by
from tokend_server.rpc.interceptors.layers import Behavior, Layer, Method, method_kind

#: Represents every unknown method, so that callers cannot create new time series.
UNKNOWN_METHOD = Method("unknown", "unknown", "unary")


def code_label(code: grpc.StatusCode) -> str:
    """Returns the `grpc_code` of go-grpc-middleware: `OK`, or CamelCase such as `NotFound`; one L in `Canceled`."""
    if code is grpc.StatusCode.OK:
        return "OK"
    if code is grpc.StatusCode.CANCELLED:
        return "Canceled"
    return code.name.title().replace("_", "")


def counting_unknown_methods(metrics: Metrics) -> Callable[[], None]:
    """Returns a function that counts a call to an unknown method."""
    recorder = Recorder(UNKNOWN_METHOD, metrics)

    def count() -> None:
        recorder.count_started(1)
        recorder.count_handled[grpc.StatusCode.UNIMPLEMENTED](1)

    return count


def counting_skipped(services: Iterable[ServiceDescriptor], metrics: Metrics) -> Callable[[str, grpc.StatusCode], None]:
    """Returns a function that counts calls that ended before any work on them, by method path, without duration.

    This creates the series of every method and code, so that rates are correct from the first call on.
    """
    recorders = {
        method.path: Recorder(method, metrics) for service in services for method in map(_method, service.methods)
    }
    unknown = Recorder(UNKNOWN_METHOD, metrics)

    def count(path: str, code: grpc.StatusCode) -> None:
        recorder = recorders.get(path, unknown)
        recorder.count_started(1)
        recorder.count_handled[code](1)

    return count


def _method(descriptor: MethodDescriptor) -> Method:
    kind = method_kind(request_streaming=descriptor.client_streaming, response_streaming=descriptor.server_streaming)
    return Method(descriptor.containing_service.full_name, descriptor.name, kind)


def observing(metrics: Metrics, clock: Clock) -> Layer:
    """Returns a layer that records each call when it has ended."""

    def layer(method: Method, behavior: Behavior) -> Behavior:
        recorder = Recorder(method, metrics)
        observe = _observe_stream if method.has_response_stream else _observe_unary
        return observe(recorder, behavior, clock)

    return layer


class Recorder:
    """The series of one method."""

    def __init__(self, method: Method, metrics: Metrics) -> None:
        labels = (method.kind, method.service, method.name)
        self.count_started = counting(metrics.grpc_server_started.labels(*labels))
        self._seconds = metrics.grpc_server_handling_seconds.labels(*labels)
        self._observe_seconds = observing_times(self._seconds)
        self.count_handled = {
            code: counting(metrics.grpc_server_handled.labels(*labels, code_label(code))) for code in grpc.StatusCode
        }
        self._count_ok = self.count_handled[grpc.StatusCode.OK]

    def finish(self, code: grpc.StatusCode, seconds: float, call: Call | None = None) -> None:
        """Counts a call that has ended; if it belongs to a trace, its duration has an exemplar (OpenMetrics)."""
        # The lookup of an enum member calls its `__hash__`, which is slow because it is Python code.
        (self._count_ok if code is grpc.StatusCode.OK else self.count_handled[code])(1)
        if call and call.trace_id:
            self._seconds.observe(seconds, {"trace_id": call.trace_id})
        else:
            self._observe_seconds(seconds)


def _observe_unary(recorder: Recorder, behavior: Behavior, clock: Clock) -> Behavior:
    @wraps(behavior)
    def observed(request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - as grpc calls it
        recorder.count_started(1)
        started = clock.monotonic()
        code = grpc.StatusCode.UNKNOWN
        try:
            response = behavior(request, context)
            code = _code(context)
        except Exception:
            # An abort sets the code before it raises.
            code = _code(context, otherwise=grpc.StatusCode.UNKNOWN)
            raise
        finally:
            recorder.finish(code, clock.monotonic() - started, CURRENT_CALL.get())
        return response

    return observed


def _observe_stream(recorder: Recorder, behavior: Behavior, clock: Clock) -> Behavior:
    @wraps(behavior)
    def observed(request: Any, context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as grpc calls it
        recorder.count_started(1)
        started = clock.monotonic()
        # A stream continues after its behavior has returned, and may be ended by the caller or by its deadline.
        is_complete = False

        def observed_responses(responses: Iterable[Any]) -> Iterator[Any]:
            nonlocal is_complete
            yield from responses
            is_complete = context.is_active()

        def finish() -> None:
            ending = grpc.StatusCode.OK if is_complete else ended_by(context.time_remaining())
            recorder.finish(_code(context, otherwise=ending), clock.monotonic() - started)

        if not context.add_callback(finish):  # it has already ended
            finish()
        responses = behavior(request, context, *rest)
        # None: the behavior does not block, and sends its responses by a callback until the caller cancels.
        return None if responses is None else observed_responses(responses)

    return observed


def _code(context: grpc.ServicerContext, otherwise: grpc.StatusCode = grpc.StatusCode.OK) -> grpc.StatusCode:
    code: grpc.StatusCode | None = context.code()  # type: ignore[attr-defined] # missing in the stubs
    return otherwise if code is None else code
