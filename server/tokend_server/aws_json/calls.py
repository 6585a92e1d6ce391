"""The processing of calls that is common to all of AWS's protocols."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol

from tokend_server.access.authentication.presented import PresentedCredentials
from tokend_server.aws_json.errors import AwsError, malformed, unparsable_body
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.shaped import Output, PerformedOperation, ShapedOperation
from tokend_server.aws_json.wire import AwsResponse
from tokend_server.clock import Clock
from tokend_server.errors import TokendError
from tokend_server.failures import log_defect, log_failure
from tokend_server.rpc.call import CURRENT_CALL, Call
from tokend_server.rpc.interceptors.layers import Behavior, Layer, Method, layered
from tokend_server.rpc.trace_context import trace_id_of
from tokend_server.rpc.tracing import UNTRACED, Tracing

#: The label of unknown operations, and the code of successful calls, in metrics.
UNKNOWN_OPERATION, OK = "unknown", "OK"

#: The timeout of a call in seconds: AWS's SDKs send no deadline, and botocore's default timeout is the same.
CALL_TIMEOUT = 60.0


class Service(Protocol):
    """An AWS service: its operations, and the requests and responses of its protocol.

    Attributes:
        service_name: The name of the service in spans.
        behaviors: The behavior of each operation, with all layers around it.
    """

    @property
    def service_name(self) -> str: ...

    @property
    def behaviors(self) -> Mapping[str, Behavior]: ...

    def operation_of(self, request: AwsRequest) -> ShapedOperation:
        """Returns the operation of a request.

        Raises:
            AwsError: There is no such operation.
        """
        ...

    def failure(self, call: Call, error: TokendError) -> AwsError:
        """Returns the client's form of an error."""
        ...

    def defect(self) -> AwsError:
        """Returns the client's form of a defect of this service."""
        ...

    def success_response(self, request: AwsRequest, operation: str, output: Output, request_id: str) -> AwsResponse:
        """Returns the response with an operation's output."""
        ...

    def error_response(self, request: AwsRequest, error: AwsError, request_id: str) -> AwsResponse:
        """Returns the response for a failure."""
        ...


def behaviors_of(
    service_name: str,
    performed: Iterable[PerformedOperation],
    parse: Callable[[ShapedOperation, AwsRequest], Mapping[str, Any]],
    layers: Sequence[Layer],
) -> Mapping[str, Behavior]:
    """Returns the behavior of each operation by its name: reads the input and performs the operation, within layers.

    Args:
        service_name: The name of the service.
        performed: The operations.
        parse: Parses the members of an operation's input from a request; raises `AwsError` if they are malformed.
        layers: The layers, the outermost first.
    """

    def behavior_of(operation: ShapedOperation, perform: Callable[[Mapping[str, Any]], Output]) -> Behavior:
        def read_and_perform(request: AwsRequest, _context: None) -> Output:
            try:
                given = operation.read(parse(operation, request))
            except AwsError as refusal:
                raise unparsable_body(refusal) from None
            return perform(given)

        return layered(Method(service_name, operation.name, "unary"), read_and_perform, layers)

    return {operation.name.value: behavior_of(operation, perform) for operation, perform in performed}


class Calls:
    """Answers calls of one service.

    Args:
        service: The service.
        clock: Measures calls and their deadlines.
        tracing: The traces of calls.
        count: Called with the operation, the code and the seconds of each call that ended.
        new_id: Generates the id of a request.
    """

    def __init__(
        self,
        service: Service,
        clock: Clock,
        tracing: Tracing = UNTRACED,
        count: Callable[[str, str, float], object] = lambda _operation, _code, _seconds: None,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._service = service
        self._clock = clock
        self._tracing = tracing
        self._count = count
        self._new_id = new_id

    def arrival(self) -> float:
        """Returns the time of arrival for a request that is about to wait for a thread."""
        return self._clock.monotonic()

    def answer(self, request: AwsRequest, arrived: float | None = None) -> AwsResponse:
        """Answers a request; errors are responses too.

        Args:
            request: The request.
            arrived: The `arrival` of the request, if it has waited since.
        """
        begun = self.arrival() if arrived is None else arrived
        request_id = self._new_id()
        name = UNKNOWN_OPERATION
        try:
            operation = self._service.operation_of(request)
            name = operation.name.value
            response, code = self._answer(operation, request, self._call(operation, request, request_id, begun)), OK
        except AwsError as failure:
            response, code = self._service.error_response(request, failure, request_id), failure.code
        self._count(name, code, self._clock.monotonic() - begun)
        return response

    def refuse(self, request: AwsRequest, error: TokendError) -> AwsResponse:
        """Returns the response to a refused request, and counts it as a call."""
        begun = self.arrival()
        failure = self._service.failure(Call("", ""), error)
        response = self._service.error_response(request, failure, self._new_id())
        self._count(self._name_of(request), failure.code, self._clock.monotonic() - begun)
        return response

    def refuse_malformed(self, request: AwsRequest, status: HTTPStatus) -> AwsResponse:
        """Returns the response to a malformed HTTP request, or to one whose response failed."""
        is_defect = status is HTTPStatus.INTERNAL_SERVER_ERROR
        failure = self._service.defect() if is_defect else malformed(status)
        return self._service.error_response(request, failure, self._new_id())

    def _name_of(self, request: AwsRequest) -> str:
        try:
            return self._service.operation_of(request).name.value
        except AwsError:
            return UNKNOWN_OPERATION

    def _call(self, operation: ShapedOperation, request: AwsRequest, request_id: str, begun: float) -> Call:
        family = "ipv6" if ":" in request.peer else "ipv4"
        return Call(
            method=operation.name,
            request_id=request_id,
            source=f"{family}:[{request.peer}]:0",
            user_agent=request.values.get("user-agent", ""),
            presented=PresentedCredentials(deadline_at=begun + CALL_TIMEOUT),
        )

    def _answer(self, operation: ShapedOperation, request: AwsRequest, call: Call) -> AwsResponse:
        """Executes an operation, and returns its response.

        Raises:
            AwsError: The operation failed.
        """
        with self._tracing.span(self._service.service_name, operation.name, request.values) as set_code:
            call.trace_id = self._tracing.trace_id() or trace_id_of(request.values.get("traceparent", ""))
            CURRENT_CALL.set(call)
            try:
                output = self._service.behaviors[operation.name](request, None)
                response = self._service.success_response(request, operation.name, output, call.request_id)
            except Exception as error:  # noqa: BLE001 - the client gets only the text of the error's row
                failure = self._failure(call, error)
                set_code(failure.code)
            else:
                return response
            finally:
                CURRENT_CALL.set(None)
        raise failure

    def _failure(self, call: Call, error: Exception) -> AwsError:
        if isinstance(error, AwsError):
            return error
        if not isinstance(error, TokendError):
            log_defect(call.method, error, call.request_id)
            return self._service.defect()
        log_failure(call.method, error)
        return self._service.failure(call, error)
