"""AWSCognitoIdentityService: from a request on the wire to its response, whatever transport carries them."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

from tokend_server.access.authentication.presented import Presented
from tokend_server.arns import identity_pool_arn
from tokend_server.aws_json.document import parse_document
from tokend_server.aws_json.errors import (
    AwsError,
    access_denied,
    forbidden,
    internal_error,
    to_aws_error,
    unauthenticated,
    unreadable,
)
from tokend_server.aws_json.operations import OPERATIONS, AwsOperation
from tokend_server.aws_json.pools import pool_of_arn
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.shaped import Output, ShapedOperation
from tokend_server.aws_json.signers import UNSIGNED_OPERATIONS
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


#: Does what the current call asks for, by the members of its input, which are yet to be checked.
Perform: TypeAlias = Callable[[Mapping[str, Any]], Output]


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
        others: The operations that the contract does not have, each with what performs it for the current call.
        new_id: Makes the id of a request.
        accounts: The AWS accounts of pools.
    """

    def __init__(  # noqa: PLR0913 - what a call meets
        self,
        operations: DeveloperIdentityService,
        layers: Sequence[Layer],
        clock: Clock,
        *,
        others: Sequence[tuple[ShapedOperation, Perform]] = (),
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
        performed: list[tuple[ShapedOperation, Callable[[str, Mapping[str, Any]], Output]]]
        performed = [(row, partial(self._serve, row)) for row in OPERATIONS.values()]
        performed += [(row, partial(_perform_other, perform)) for row, perform in others]
        self._operations_by_name = {row.name.value: row for row, _ in performed}
        self._behaviors = {row.name.value: self._layered(row, perform, layers) for row, perform in performed}

    def answer(self, request: AwsRequest) -> AwsResponse:
        """Answers a request; what goes wrong is an answer too."""
        begun = self._clock.monotonic()
        request_id = self._new_id()
        name = UNKNOWN_OPERATION
        try:
            operation = self._operation_of(request)
            name = operation.name.value
            response, code = self._answer(operation, request, self._call(operation, request, request_id)), OK
        except AwsError as failure:
            response, code = error_response(failure, request_id), failure.code
        self._count(name, code, self._clock.monotonic() - begun)
        return response

    def _operation_of(self, request: AwsRequest) -> ShapedOperation:
        """The operation that a request is for.

        Raises:
            AwsError: UnknownOperationException.
        """
        media_type = request.values.get("content-type", "").partition(";")[0].rstrip().lower()
        if (request.method, request.target, media_type) != ("POST", "/", CONTENT_TYPE):
            raise AwsError("UnknownOperationException", f"Requests are a POST of {CONTENT_TYPE} to /.", 404)
        prefix, name = request.values.get("x-amz-target", "").rpartition(".")[::2]
        if prefix != SERVICE_NAME or name not in self._operations_by_name:
            raise AwsError("UnknownOperationException", "There is no such operation.")
        return self._operations_by_name[name]

    def _call(self, operation: ShapedOperation, request: AwsRequest, request_id: str) -> Call:
        family = "ipv6" if ":" in request.peer else "ipv4"
        return Call(
            method=operation.name,
            request_id=request_id,
            source=f"{family}:[{request.peer}]:0",
            user_agent=request.values.get("user-agent", ""),
            presented=Presented(waits_until=self._clock.monotonic() + PATIENCE),
        )

    def _answer(self, operation: ShapedOperation, request: AwsRequest, call: Call) -> AwsResponse:
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
        if isinstance(error, CallerNotAllowed) and call.method in UNSIGNED_OPERATIONS:
            return forbidden(call.audited[0].identity_id if call.audited else "")
        if isinstance(error, CallerNotAllowed):
            return access_denied(error, call.caller, call.method, self._resource(call))
        return to_aws_error(error)

    def _resource(self, call: Call) -> str:
        """The ARN of the pool that a call is about; `*` where that is not known."""
        pool = call.audited[0].identity_pool_id if call.audited else getattr(call.request, "identity_pool_id", "")
        return identity_pool_arn(pool, self._accounts.get(pool, "")) if pool else "*"

    def _layered(
        self, operation: ShapedOperation, perform: Callable[[str, Mapping[str, Any]], Output], layers: Sequence[Layer]
    ) -> Behavior:
        behavior: Behavior = partial(_reading, operation, perform)
        method = Method(SERVICE_NAME, operation.name, "unary")
        for layer in reversed(layers):
            behavior = layer(method, behavior)
        return behavior

    def _serve(self, operation: AwsOperation, region: str, given: Mapping[str, Any]) -> Output:
        message = operation.message(given)
        current_call().request = message
        _check_region(region, message.identity_pool_id)
        return self._operations.serve(
            operation.served,
            lambda result, _now: operation.to_output(result),
            partial(operation.check, given),
            message,
        )


def _reading(
    operation: ShapedOperation,
    perform: Callable[[str, Mapping[str, Any]], Output],
    request: AwsRequest,
    _context: None,
) -> Output:
    try:
        given = operation.read(parse_document(request.body))
    except AwsError as refusal:
        raise unreadable(refusal) from None
    return perform(request.region, given)


def _perform_other(perform: Perform, region: str, given: Mapping[str, Any]) -> Output:
    ids = [given.get("IdentityPoolId"), given.get("IdentityId"), *given.get("IdentityIdsToDelete", ())]
    ids.append(pool_of_arn(given.get("ResourceArn", "")))
    for each in filter(None, ids if region else ()):
        _check_region(region, each)
    return perform(given)


def _check_region(region: str, identity_pool_id: str) -> None:
    """Makes sure that a request was signed for the Region of its pool, or identity; AWS has an endpoint for each.

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
