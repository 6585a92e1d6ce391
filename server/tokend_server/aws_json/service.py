"""AWSCognitoIdentityService: from a request on the wire to its response, whatever transport carries them."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from tokend_server.access.authentication.presented import Presented
from tokend_server.arns import identity_pool_arn
from tokend_server.aws_json.document import parse_document
from tokend_server.aws_json.errors import (
    AwsError,
    access_denied,
    internal_error,
    to_aws_error,
    unauthenticated,
    unreadable,
)
from tokend_server.aws_json.operations import OPERATIONS, AwsOperation, Output
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.wire import CONTENT_TYPE, AwsResponse, error_response, success_response
from tokend_server.clock import Clock
from tokend_server.errors import CallerNotAllowed, TokendError
from tokend_server.failures import log_defect, log_failure
from tokend_server.rpc.call import CURRENT_CALL, Call, current_call
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.interceptors.layers import Behavior, Layer, Method
from tokend_server.rpc.trace_context import parse_traceparent
from tokend_server.rpc.tracing import UNTRACED, Tracing

#: What stands before the operation's name in `X-Amz-Target`, with a dot between them.
SERVICE_NAME = "AWSCognitoIdentityService"

#: What stands for every operation that there is not, and the code of a call that succeeded, in metrics.
UNKNOWN_OPERATION, OK = "unknown", "OK"

#: Seconds that a call may take: AWS's SDKs tell no deadline, and botocore waits so long for an answer.
PATIENCE = 60.0


def _uncounted(_operation: str, _code: str, _seconds: float) -> None:
    """Counts nothing."""


class AwsJsonService:
    """Routes requests to the operations of the contract, and speaks AWS JSON on their behalf.

    Args:
        operations: Policy, limits of fields, engines.
        layers: What stands around every operation, the outermost first; what names the caller is among it.
        clock: Measures calls and their deadlines.
        tracing: What traces them.
        count: Called with the operation, the code and the seconds of each call that ended.
        new_id: Makes the id of a request.
        accounts: The AWS accounts of pools.
    """

    def __init__(  # noqa: PLR0913 - what a call meets
        self,
        operations: DeveloperIdentityService,
        layers: Sequence[Layer],
        clock: Clock,
        *,
        tracing: Tracing = UNTRACED,
        count: Callable[[str, str, float], object] = _uncounted,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        accounts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._operations = operations
        self._clock = clock
        self._tracing = tracing
        self._count = count
        self._new_id = new_id
        self._accounts = accounts
        self._behaviors = {name: self._layered(row, layers) for name, row in OPERATIONS.items()}

    def answer(self, request: AwsRequest) -> AwsResponse:
        """Answers a request; what goes wrong is an answer too."""
        begun = self._clock.monotonic()
        request_id = self._new_id()
        name = UNKNOWN_OPERATION
        try:
            operation = operation_of(request)
            name = operation.name.value
            response, code = self._answer(operation, request, self._call(operation, request, request_id)), OK
        except AwsError as failure:
            response, code = error_response(failure, request_id), failure.code
        self._count(name, code, self._clock.monotonic() - begun)
        return response

    def _call(self, operation: AwsOperation, request: AwsRequest, request_id: str) -> Call:
        family = "ipv6" if ":" in request.peer else "ipv4"
        return Call(
            method=operation.name,
            request_id=request_id,
            source=f"{family}:[{request.peer}]:0",
            user_agent=request.values.get("user-agent", ""),
            presented=Presented(waits_until=self._clock.monotonic() + PATIENCE),
        )

    def _answer(self, operation: AwsOperation, request: AwsRequest, call: Call) -> AwsResponse:
        """The response of an operation that succeeds.

        Raises:
            AwsError: It does not.
        """
        with self._tracing.span(SERVICE_NAME, operation.name, request.values) as tell:
            call.trace_id = self._tracing.trace_id() or _trace_id(request.values)
            CURRENT_CALL.set(call)
            try:
                return success_response(self._behaviors[operation.name](request, None), call.request_id)
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller learns no more than its row says
                failure = self._failure(call, error)
                tell(failure.code)
            finally:
                CURRENT_CALL.set(None)
        raise failure

    def _failure(self, call: Call, error: Exception) -> AwsError:
        if isinstance(error, AwsError):
            return error
        if not isinstance(error, TokendError):
            log_defect(call.method, error, call.request_id)
            return internal_error()
        log_failure(call.method, error)
        if isinstance(error, CallerNotAllowed):
            pool = getattr(call.request, "identity_pool_id", "")
            return access_denied(error, call.caller, call.method, identity_pool_arn(pool, self._accounts.get(pool, "")))
        return to_aws_error(error)

    def _layered(self, operation: AwsOperation, layers: Sequence[Layer]) -> Behavior:
        behavior: Behavior = partial(self._perform, operation)
        method = Method(SERVICE_NAME, operation.name, "unary")
        for layer in reversed(layers):
            behavior = layer(method, behavior)
        return behavior

    def _perform(self, operation: AwsOperation, request: AwsRequest, _context: None) -> Output:
        try:
            given = operation.read(parse_document(request.body))
        except AwsError as refusal:
            raise unreadable(refusal) from None
        message = operation.message(given)
        current_call().request = message
        _check_region(request.region, message.identity_pool_id)
        return self._operations.serve(
            operation.served,
            lambda result, _now: operation.to_output(result),
            partial(operation.check, given),
            message,
        )


def operation_of(request: AwsRequest) -> AwsOperation:
    """The operation that a request is for.

    Raises:
        AwsError: UnknownOperationException.
    """
    media_type = request.values.get("content-type", "").partition(";")[0].rstrip().lower()
    if (request.method, request.target, media_type) != ("POST", "/", CONTENT_TYPE):
        raise AwsError("UnknownOperationException", f"Requests are a POST of {CONTENT_TYPE} to /.", 404)
    prefix, name = request.values.get("x-amz-target", "").rpartition(".")[::2]
    if prefix != SERVICE_NAME or name not in OPERATIONS:
        raise AwsError("UnknownOperationException", "There is no such operation.")
    return OPERATIONS[name]


def _check_region(region: str, identity_pool_id: str) -> None:
    """Makes sure that a request was signed for the Region of its pool; AWS has an endpoint for each.

    Raises:
        CallerUnauthenticated: It was signed for another one.
    """
    of_pool, colon, _ = identity_pool_id.partition(":")
    if colon and of_pool not in {"", region}:
        text = f"Credential should be scoped to a valid region, not '{region}'."
        raise unauthenticated(AwsError("InvalidSignatureException", text))


def _trace_id(values: Mapping[str, str]) -> str | None:
    parent = parse_traceparent(values.get("traceparent", ""))
    return parent.trace_id if parent else None
