"""The served part of AWS Security Token Service: from a request to its response."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tokend_server import errors
from tokend_server.aws_json.calls import behaviors_of
from tokend_server.aws_json.errors import AwsError, internal_error, to_aws_error
from tokend_server.aws_json.query import FORM_TYPE, parse_query, to_document
from tokend_server.aws_json.query_responses import fault_response, result_response
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.shaped import Output, PerformedOperation, ShapedOperation
from tokend_server.aws_json.wire import AwsResponse
from tokend_server.errors import CallerNotAllowed, TokendError
from tokend_server.rpc.call import Call
from tokend_server.rpc.interceptors.layers import Layer

SERVICE_NAME = "AWSSecurityTokenServiceV20110615"
VERSION = "2011-06-15"

_NAMESPACE = f"https://sts.amazonaws.com/doc/{VERSION}/"

_DENIED = "Not authorized to perform sts:AssumeRoleWithWebIdentity"

#: STS's codes for this service's errors without their own STS code, with HTTP statuses (AWS STS API Reference,
#: "Common Error Types").
CODES: Mapping[type[TokendError], tuple[str, int]] = MappingProxyType(
    {
        errors.ValidationFailed: ("ValidationError", 400),
        errors.InvalidParameter: ("ValidationError", 400),
        errors.NotAuthorized: ("InvalidIdentityToken", 400),
        errors.ResourceNotFound: ("InvalidIdentityToken", 400),
        errors.ResourceConflict: ("InternalFailure", 500),
        errors.DeveloperUserAlreadyRegistered: ("InternalFailure", 500),
        errors.LimitExceeded: ("InternalFailure", 500),
        errors.TooManyRequests: ("Throttling", 400),
        errors.LoginProviderUnavailable: ("IDPCommunicationError", 400),
        errors.EngineUnavailable: ("InternalFailure", 500),
        errors.AuditUnavailable: ("InternalFailure", 500),
        errors.EngineCredentialsRejected: ("InternalFailure", 500),
        errors.EngineMisconfigured: ("InternalFailure", 500),
        errors.InvalidIdentityPoolConfiguration: ("AccessDenied", 403),
        errors.CallerUnauthenticated: ("AccessDenied", 403),
        errors.CallerNotAllowed: ("AccessDenied", 403),
        errors.UnsupportedByEngine: ("InvalidAction", 400),
        errors.MetadataTooLarge: ("RequestEntityTooLargeException", 413),
        errors.DeadlineExceeded: ("InternalFailure", 500),
    }
)

#: All codes with which a call may end.
STS_CODES = frozenset(
    {
        *(code for code, _ in CODES.values()),
        "ExpiredTokenException",
        "MalformedInput",
        "MalformedPolicyDocument",
        "MalformedQueryString",
        "MissingAction",
    }
)


class StsService:
    """The `Service` that routes requests in the query protocol to the operations.

    Attributes:
        service_name: The name of the service in AWS's model.
        behaviors: The behavior of each operation, with all layers around it.

    Args:
        performed: The operations, each with the function that performs it.
        layers: The layers around every operation, the outermost first, including the one that identifies the caller.
    """

    service_name = SERVICE_NAME

    def __init__(self, performed: Sequence[PerformedOperation], layers: Sequence[Layer]) -> None:
        self._operations = {row.name.value: row for row, _ in performed}
        self.behaviors = behaviors_of(
            SERVICE_NAME,
            performed,
            lambda operation, request: to_document(parse_query(request), operation.members),
            layers,
        )

    def operation_of(self, request: AwsRequest) -> ShapedOperation:
        if request.path != "/" or request.method not in {"GET", "POST"}:
            text = f"Requests must be a GET of /, or a POST of {FORM_TYPE} to it."
            raise AwsError("UnknownOperationException", text, 404)
        parameters = parse_query(request)
        action, version = parameters.get("Action"), parameters.get("Version")
        if not action:
            raise AwsError("MissingAction", "The request has no parameter Action.")
        operation = self._operations.get(action)
        if operation is None or version != VERSION:
            text = f"Could not find operation {action} for version {version or 'NO_VERSION_SPECIFIED'}"
            raise AwsError("InvalidAction", text)
        return operation

    def failure(self, _call: Call, error: TokendError) -> AwsError:
        code, status = CODES[type(error)]
        # An error that was raised for STS has its own code; others have Cognito's code from their class.
        own_code: str | None = vars(error).get("aws_error_code")
        text = _DENIED if isinstance(error, CallerNotAllowed) else to_aws_error(error).message
        return AwsError(own_code or code, text, status)

    def defect(self) -> AwsError:
        return AwsError("InternalFailure", internal_error().message, 500)

    def success_response(self, request: AwsRequest, operation: str, output: Output, request_id: str) -> AwsResponse:
        return result_response(request, operation, _NAMESPACE, output, request_id)

    def error_response(self, request: AwsRequest, error: AwsError, request_id: str) -> AwsResponse:
        return fault_response(request, _NAMESPACE, error, request_id)
