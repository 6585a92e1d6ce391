"""AWSCognitoIdentityService: from a request to its response, independent of the transport."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tokend_server.arns import identity_pool_arn
from tokend_server.aws_json.calls import behaviors_of
from tokend_server.aws_json.document import parse_document
from tokend_server.aws_json.errors import (
    AwsError,
    access_denied,
    forbidden_text,
    internal_error,
    to_aws_error,
    wrong_region,
)
from tokend_server.aws_json.operations import OPERATIONS, AwsOperation
from tokend_server.aws_json.pools import requested_pool
from tokend_server.aws_json.query import media_type
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.shaped import Output, PerformedOperation, ShapedOperation
from tokend_server.aws_json.signers import UNSIGNED_OPERATIONS
from tokend_server.aws_json.wire import CONTENT_TYPE, AwsResponse, error_response, success_response
from tokend_server.errors import CallerNotAllowed, TokendError
from tokend_server.rpc.call import Call, current_call
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.interceptors.layers import Layer

#: The prefix of the operation's name in `X-Amz-Target`, followed by a dot.
SERVICE_NAME = "AWSCognitoIdentityService"


class AwsJsonService:
    """The `Service` that routes AWS JSON requests to the operations of the contract.

    Attributes:
        service_name: The name of the service in AWS's model.
        behaviors: The behavior of each operation, with all layers around it.

    Args:
        operations: Policy, limits of fields, engines.
        layers: The layers around every operation, the outermost first, including the one that identifies the caller.
        others: The operations outside the contract, each with the function that performs it.
        account_of: The AWS account of a pool, 12 digits.
    """

    service_name = SERVICE_NAME

    def __init__(
        self,
        operations: DeveloperIdentityService,
        layers: Sequence[Layer],
        *,
        others: Sequence[PerformedOperation] = (),
        account_of: Callable[[str], str] = lambda _identity_pool_id: "",
    ) -> None:
        self._operations = operations
        self._account_of = account_of
        performed: list[PerformedOperation] = [(row, partial(self._serve, row)) for row in OPERATIONS.values()]
        performed += [(row, partial(_perform_other, perform)) for row, perform in others]
        self._operations_by_name = {row.name.value: row for row, _ in performed}
        self.behaviors = behaviors_of(
            SERVICE_NAME, performed, lambda _operation, request: parse_document(request.body), layers
        )

    def operation_of(self, request: AwsRequest) -> ShapedOperation:
        """Returns the operation of a request.

        Raises:
            AwsError: UnknownOperationException.
        """
        if (request.method, request.path, media_type(request)) != ("POST", "/", CONTENT_TYPE):
            raise AwsError("UnknownOperationException", f"Requests are a POST of {CONTENT_TYPE} to /.", 404)
        prefix, name = request.values.get("x-amz-target", "").rpartition(".")[::2]
        if prefix != SERVICE_NAME or name not in self._operations_by_name:
            raise AwsError("UnknownOperationException", "There is no such operation.")
        return self._operations_by_name[name]

    def success_response(self, _request: AwsRequest, _operation: str, output: Output, request_id: str) -> AwsResponse:
        return success_response(output, request_id)

    def error_response(self, _request: AwsRequest, error: AwsError, request_id: str) -> AwsResponse:
        return error_response(error, request_id)

    def defect(self) -> AwsError:
        return internal_error()

    def failure(self, call: Call, error: TokendError) -> AwsError:
        if isinstance(error, CallerNotAllowed) and call.method in UNSIGNED_OPERATIONS:
            text = forbidden_text(call.audited[0].identity_id if call.audited else "")
            return AwsError("NotAuthorizedException", text)
        if isinstance(error, CallerNotAllowed):
            return access_denied(error, call.caller, call.method, self._resource(call))
        return to_aws_error(error)

    def _resource(self, call: Call) -> str:
        """Returns the ARN of a call's pool; `*` if it is not known."""
        pool = call.audited[0].identity_pool_id if call.audited else getattr(call.request, "identity_pool_id", "")
        return identity_pool_arn(pool, self._account_of(pool)) if pool else "*"

    def _serve(self, operation: AwsOperation, given: Mapping[str, Any]) -> Output:
        message = operation.message(given)
        current_call().request = message
        _check_region(message.identity_pool_id)
        return self._operations.serve(
            operation.served,
            lambda result, _now: operation.to_output(result),
            partial(operation.check, given),
            message,
        )


def _perform_other(perform: Callable[[Mapping[str, Any]], Output], given: Mapping[str, Any]) -> Output:
    ids = (requested_pool(given), given.get("IdentityId"), *given.get("IdentityIdsToDelete", ()))
    for each in filter(None, ids):
        _check_region(each)
    return perform(given)


def _check_region(identity_pool_id: str) -> None:
    """Checks that a signed call was signed for the Region of its pool or identity, as at AWS's regional endpoints.

    Raises:
        CallerUnauthenticated: It was signed for another Region.
    """
    region = current_call().region
    of_pool, colon, _ = identity_pool_id.partition(":")
    if region and colon and of_pool not in {"", region}:
        raise wrong_region(region)
