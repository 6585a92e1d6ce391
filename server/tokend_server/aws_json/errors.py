"""How each failure reaches an AWS client: exception name, HTTP status and text, in one table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tokend_server import errors
from tokend_server.errors import FieldViolation, TokendError, ValidationFailed
from tokend_server.rpc.status import INTERNAL_TEXT


class AwsError(Exception):
    """A failure as an AWS client gets it.

    Attributes:
        code: The exception's name, such as `NotAuthorizedException`.
        message: The text that the caller gets.
        status: The HTTP status. AWS JSON has 400 for whatever the caller did and 500 for faults of the service.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def _own_text(error: TokendError) -> str:
    return error.text


def _with_members(error: ValidationFailed) -> str:
    """The error's text with the members' names in AWS's form, such as `identityPoolId`."""
    return ValidationFailed([FieldViolation(_camel(each.field), each.constraint) for each in error.violations]).text


def _camel(path: str) -> str:
    first, *rest = path.split("_")
    return first + "".join(map(str.capitalize, rest))


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """What becomes of one class of errors.

    Attributes:
        code: The exception's name.
        status: The HTTP status.
        message: The text that the caller gets.
    """

    code: str
    status: int = 400
    message: Callable[[Any], str] = _own_text


ERRORS: Mapping[type[TokendError], ErrorRow] = {
    errors.ValidationFailed: ErrorRow("ValidationException", message=_with_members),
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
    errors.CallerUnauthenticated: ErrorRow("UnrecognizedClientException"),
    errors.CallerNotAllowed: ErrorRow("AccessDeniedException"),
    errors.UnsupportedByEngine: ErrorRow("UnknownOperationException"),
    errors.MetadataTooLarge: ErrorRow("RequestEntityTooLargeException", 413),
    errors.DeadlineExceeded: ErrorRow("InternalErrorException", 500),
}


def to_aws_error(error: TokendError) -> AwsError:
    """The form of an error that the contract knows."""
    row = ERRORS[type(error)]
    return AwsError(row.code, row.message(error), row.status)


def internal_error() -> AwsError:
    """The form of a defect, which tells nothing of it."""
    return AwsError("InternalErrorException", INTERNAL_TEXT, 500)
