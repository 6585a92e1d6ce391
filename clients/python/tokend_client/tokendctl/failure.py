"""A failed call, in the format of the AWS CLI, with tokend's details."""

from collections.abc import Mapping
from types import MappingProxyType

import grpc

from tokend_client.errors import ErrorReason, TokendError
from tokend_client.tokendctl.errors import CommandFailed
from tokend_client.tokendctl.exit_codes import ExitCode

#: The exceptions of AWS's API for the reasons of the contract.
EXCEPTIONS: Mapping[str, str] = MappingProxyType(
    {
        ErrorReason.VALIDATION_FAILED: "ValidationException",
        ErrorReason.INVALID_PARAMETER: "InvalidParameterException",
        ErrorReason.NOT_AUTHORIZED: "NotAuthorizedException",
        ErrorReason.RESOURCE_NOT_FOUND: "ResourceNotFoundException",
        ErrorReason.RESOURCE_CONFLICT: "ResourceConflictException",
        ErrorReason.DEVELOPER_USER_ALREADY_REGISTERED: "DeveloperUserAlreadyRegisteredException",
        ErrorReason.LIMIT_EXCEEDED: "LimitExceededException",
        ErrorReason.TOO_MANY_REQUESTS: "TooManyRequestsException",
        ErrorReason.LOGIN_PROVIDER_UNAVAILABLE: "ExternalServiceException",
        ErrorReason.ENGINE_UNAVAILABLE: "InternalErrorException",
        ErrorReason.ENGINE_CREDENTIALS_REJECTED: "InternalErrorException",
        ErrorReason.CALLER_UNAUTHENTICATED: "UnrecognizedClientException",
        ErrorReason.CALLER_NOT_ALLOWED: "AccessDeniedException",
        ErrorReason.UNSUPPORTED_BY_ENGINE: "UnknownOperationException",
        ErrorReason.INTERNAL: "InternalErrorException",
        ErrorReason.METADATA_TOO_LARGE: "RequestEntityTooLargeException",
    }
)

#: Codes that come from the client itself if they have no reason: no service has responded.
_UNANSWERED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}


def to_command_failed(operation: str, target: str, error: TokendError) -> CommandFailed:
    """Returns the message for a failed call, from its operation in AWS's API, the endpoint and the client's error."""
    if error.reason is None and error.code in _UNANSWERED:
        return CommandFailed(f'No answer from the endpoint "{target}": {error}', ExitCode.OTHER)
    exception = error.aws_error_code or EXCEPTIONS.get(error.reason or "") or error.reason or error.code.name
    lines = [
        f"An error occurred ({exception}) when calling the {operation} operation: {error.text}",
        f"  reason: {' '.join(filter(None, (error.code.name, error.reason)))}",
        *(f"  {violation.field}: {violation.description}" for violation in error.violations),
        *([f"  retry after: {error.retry_delay.total_seconds():g} s"] if error.retry_delay else []),
        *([f"  AWS request id: {error.aws_request_id}"] if error.aws_request_id else []),
        *([f"  request id: {error.request_id}"] if error.request_id else []),
    ]
    return CommandFailed("\n".join(lines), ExitCode.SERVICE)
