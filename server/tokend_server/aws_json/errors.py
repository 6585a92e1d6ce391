"""The errors for AWS clients, in one table: exception name, HTTP status and text."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from tokend_server import errors
from tokend_server.errors import (
    CallerNotAllowed,
    CallerUnauthenticated,
    FieldViolation,
    TokendError,
    ValidationFailed,
)
from tokend_server.rpc.status import INTERNAL_TEXT


class AwsError(Exception):
    """An error for an AWS client.

    Attributes:
        code: The exception's name, such as `NotAuthorizedException`.
        message: The text for the caller.
        status: The HTTP status. AWS JSON has 400 for errors of the caller and 500 for errors of the service.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def _in_aws_terms(error: ValidationFailed) -> str:
    """Returns the text with AWS's members and values, or that of a request that could not be parsed."""
    if not error.violations:
        return error.text
    count = len(error.violations)
    return f"{count} validation error{'s' * (count != 1)} detected: {'; '.join(map(_violation, error.violations))}"


def _violation(violation: FieldViolation) -> str:
    value = f"Value {violation.shown}".rstrip()
    return f"{value} at '{_to_camel_case(violation.field)}' failed to satisfy constraint: {violation.constraint}"


def _to_camel_case(path: str) -> str:
    first, *rest = path.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """The form of one class of errors.

    Attributes:
        code: The exception's name, unless `own_code` is set and the error has its own.
        status: The HTTP status.
        message: The text for the caller.
        own_code: Whether the error's own `aws_error_code` is used, which is not one of Cognito's.
    """

    code: str
    status: int = 400
    message: Callable[[Any], str] = lambda error: error.text
    own_code: bool = False


ERRORS: Mapping[type[TokendError], ErrorRow] = {
    errors.ValidationFailed: ErrorRow("ValidationException", message=_in_aws_terms, own_code=True),
    errors.InvalidParameter: ErrorRow("InvalidParameterException"),
    errors.NotAuthorized: ErrorRow("NotAuthorizedException"),
    errors.ResourceNotFound: ErrorRow("ResourceNotFoundException"),
    errors.ResourceConflict: ErrorRow("ResourceConflictException"),
    errors.DeveloperUserAlreadyRegistered: ErrorRow("DeveloperUserAlreadyRegisteredException"),
    errors.LimitExceeded: ErrorRow("LimitExceededException"),
    errors.TooManyRequests: ErrorRow("TooManyRequestsException", message=lambda _error: "Rate exceeded"),
    errors.LoginProviderUnavailable: ErrorRow("ExternalServiceException"),
    errors.EngineUnavailable: ErrorRow("InternalErrorException", 500),
    errors.AuditUnavailable: ErrorRow("InternalErrorException", 500),
    errors.EngineCredentialsRejected: ErrorRow("InternalErrorException", 500),
    errors.EngineMisconfigured: ErrorRow("InternalErrorException", 500),
    errors.InvalidIdentityPoolConfiguration: ErrorRow("InvalidIdentityPoolConfigurationException"),
    errors.CallerUnauthenticated: ErrorRow("UnrecognizedClientException", own_code=True),
    errors.CallerNotAllowed: ErrorRow("AccessDeniedException"),
    errors.UnsupportedByEngine: ErrorRow("UnknownOperationException"),
    errors.MetadataTooLarge: ErrorRow("RequestEntityTooLargeException", 413),
    errors.DeadlineExceeded: ErrorRow("InternalErrorException", 500),
}


def to_aws_error(error: TokendError) -> AwsError:
    """Returns the AWS error for an error of the contract."""
    row = ERRORS[type(error)]
    code = (row.own_code and error.aws_error_code) or row.code
    return AwsError(code, row.message(error), row.status)


def access_denied(error: CallerNotAllowed, caller: str, operation: str, resource: str) -> AwsError:
    """Returns the AWS error for a call that the policy does not allow, in AWS's words.

    Args:
        error: The reason.
        caller: The caller.
        operation: The operation.
        resource: The ARN of the pool.
    """
    denial = f"User: {caller} is not authorized to perform: cognito-identity:{operation} on resource: {resource}"
    return AwsError(ERRORS[CallerNotAllowed].code, f"{denial} because: {error.text}")


def forbidden_text(identity_id: str) -> str:
    """Returns the text for an unsigned call that is not allowed, in Cognito's words.

    Args:
        identity_id: The requested identity; empty for a new one.
    """
    if identity_id:
        return f"Access to Identity '{identity_id}' is forbidden."
    return "Unauthenticated access is not supported for this identity pool."


def incomplete_signature(text: str) -> AwsError:
    """Returns the AWS error for a signature that cannot be parsed."""
    return AwsError("IncompleteSignatureException", text)


def invalid_signature(text: str) -> AwsError:
    """Returns the AWS error for a signature that is wrong, or for another scope or time."""
    return AwsError("InvalidSignatureException", text)


def unauthenticated(refusal: AwsError) -> CallerUnauthenticated:
    """Returns the contract's error for a refused signature, for logs and the audit log."""
    error = CallerUnauthenticated(refusal.message)
    error.aws_error_code = refusal.code
    return error


def wrong_region(region: str) -> CallerUnauthenticated:
    """Returns the contract's error for a signature for a Region other than that of the pool."""
    return unauthenticated(invalid_signature(f"Credential should be scoped to a valid region, not '{region}'."))


def unparsable_body(refusal: AwsError) -> ValidationFailed:
    """Returns the contract's error for a body that cannot be parsed."""
    error = ValidationFailed([])
    error.text = refusal.message
    error.aws_error_code = refusal.code
    error.misuse = True
    return error


#: The texts for malformed or too large HTTP requests, by the status with which the parser refuses them.
_BROKEN_HTTP: Mapping[HTTPStatus, str] = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The request body is too large.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The request line and the headers are too large.",
    HTTPStatus.NOT_IMPLEMENTED: "A transfer coding must be 'chunked'.",
    HTTPStatus.BAD_REQUEST: "The request is not a valid HTTP/1.1 request.",
}


def malformed(status: HTTPStatus) -> AwsError:
    """Returns the AWS error for a malformed or too large HTTP request (AWS, "Common Errors" of every API Reference)."""
    is_too_large = status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "RequestEntityTooLargeException" if is_too_large else "MalformedHttpRequestException"
    return AwsError(code, _BROKEN_HTTP[status], status)


def internal_error() -> AwsError:
    """Returns the AWS error for a defect, without details."""
    return AwsError("InternalErrorException", INTERNAL_TEXT, 500)
