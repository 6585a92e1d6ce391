"""The statuses of errors, in one table: status code, google.rpc details and trailers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import (
    BadRequest,
    ErrorInfo,
    QuotaFailure,
    RequestInfo,
    ResourceInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status as StatusMessage

from tokend_server import errors
from tokend_server.errors import TokendError

DOMAIN = "tokend"

#: The trailer of the gRPC wire format that carries google.rpc.Status.
DETAILS_TRAILER = "grpc-status-details-bin"

#: Milliseconds that a gRPC client's retry policy must wait; a negative number prevents a retry (gRFC A6).
PUSHBACK_TRAILER = "grpc-retry-pushback-ms"
_NO_RETRY = -1

INTERNAL_TEXT = "Internal error. The request id leads to the service's log."


@dataclass(frozen=True, slots=True)
class StatusRow:
    """The status of one class of errors.

    Attributes:
        code: The status code.
        details: The details in addition to ErrorInfo.
        pushes_back: Whether a trailer controls clients' retries.
    """

    code: grpc.StatusCode
    details: Callable[[Any], Iterable[Message]] = lambda _error: ()
    pushes_back: bool = False


@dataclass(frozen=True, slots=True)
class Status(grpc.Status):
    """A status as `ServicerContext.abort_with_status` takes it."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def _bad_request(error: errors.ValidationFailed) -> Iterable[Message]:
    violations = [
        BadRequest.FieldViolation(field=violation.field, description=violation.constraint)
        for violation in error.violations
    ]
    return [BadRequest(field_violations=violations)]


def _resource_info(error: errors.ResourceNotFound) -> Iterable[Message]:
    return [ResourceInfo(resource_type=error.resource_type, resource_name=error.resource_name, description=error.text)]


def _quota_failure(error: errors.LimitExceeded) -> Iterable[Message]:
    return [QuotaFailure(violations=[QuotaFailure.Violation(subject=error.subject, description=error.text)])]


def _retry_info(error: errors.RetryableError) -> Iterable[Message]:
    duration = Duration()
    duration.FromMilliseconds(_milliseconds(error))
    return [RetryInfo(retry_delay=duration)]


def _milliseconds(error: errors.RetryableError) -> int:
    """Returns the wait in whole milliseconds, rounded up."""
    return ceil(error.retry_after * 1000)


STATUS: Mapping[type[TokendError], StatusRow] = {
    errors.ValidationFailed: StatusRow(grpc.StatusCode.INVALID_ARGUMENT, _bad_request),
    errors.InvalidParameter: StatusRow(grpc.StatusCode.INVALID_ARGUMENT),
    errors.NotAuthorized: StatusRow(grpc.StatusCode.PERMISSION_DENIED),
    errors.ResourceNotFound: StatusRow(grpc.StatusCode.NOT_FOUND, _resource_info),
    errors.ResourceConflict: StatusRow(grpc.StatusCode.FAILED_PRECONDITION),
    errors.DeveloperUserAlreadyRegistered: StatusRow(grpc.StatusCode.ALREADY_EXISTS),
    errors.LimitExceeded: StatusRow(grpc.StatusCode.FAILED_PRECONDITION, _quota_failure),
    errors.TooManyRequests: StatusRow(grpc.StatusCode.RESOURCE_EXHAUSTED, _retry_info, pushes_back=True),
    errors.LoginProviderUnavailable: StatusRow(grpc.StatusCode.UNAVAILABLE, _retry_info),
    errors.EngineUnavailable: StatusRow(grpc.StatusCode.UNAVAILABLE, _retry_info),
    errors.AuditUnavailable: StatusRow(grpc.StatusCode.UNAVAILABLE, _retry_info),
    errors.EngineCredentialsRejected: StatusRow(grpc.StatusCode.UNAVAILABLE),
    errors.EngineMisconfigured: StatusRow(grpc.StatusCode.UNAVAILABLE, pushes_back=True),
    errors.InvalidIdentityPoolConfiguration: StatusRow(grpc.StatusCode.UNAVAILABLE, pushes_back=True),
    errors.CallerUnauthenticated: StatusRow(grpc.StatusCode.UNAUTHENTICATED),
    errors.CallerNotAllowed: StatusRow(grpc.StatusCode.PERMISSION_DENIED),
    errors.UnsupportedByEngine: StatusRow(grpc.StatusCode.UNIMPLEMENTED),
    errors.MetadataTooLarge: StatusRow(grpc.StatusCode.RESOURCE_EXHAUSTED),
    errors.DeadlineExceeded: StatusRow(grpc.StatusCode.DEADLINE_EXCEEDED),
}


def to_status(error: TokendError) -> Status:
    """Returns the status of an error that the contract defines."""
    row = STATUS[type(error)]
    details = [*_error_info(error), *row.details(error)]
    trailers: list[tuple[str, str | bytes]] = []
    if row.pushes_back:
        pushback = _milliseconds(error) if isinstance(error, errors.RetryableError) else _NO_RETRY
        trailers.append((PUSHBACK_TRAILER, str(pushback)))
    return _status(row.code, error.text, details, trailers)


def internal_status(request_id: str) -> Status:
    """Returns the status of a defect: it contains only the request id, under which the log has the traceback."""
    details = [ErrorInfo(reason="INTERNAL", domain=DOMAIN), RequestInfo(request_id=request_id)]
    return _status(grpc.StatusCode.INTERNAL, INTERNAL_TEXT, details, [])


def _error_info(error: TokendError) -> Iterable[Message]:
    if error.reason is None:
        return []
    metadata = {"aws_error_code": error.aws_error_code, "aws_request_id": error.aws_request_id}
    given = {name: value for name, value in metadata.items() if value}
    return [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=given)]


def _status(
    code: grpc.StatusCode, text: str, details: Iterable[Message], trailers: list[tuple[str, str | bytes]]
) -> Status:
    message = StatusMessage(code=code.value[0], message=text)
    for detail in details:
        message.details.add().Pack(detail)
    return Status(code, text, (*trailers, (DETAILS_TRAILER, message.SerializeToString())))
