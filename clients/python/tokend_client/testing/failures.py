"""Failures in the service's format."""

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import NoReturn

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RequestInfo, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

from tokend_client.errors import ErrorReason, FieldViolation, Resource
from tokend_client.status import DETAILS_TRAILER, DOMAIN

#: The status code and, if there is one, the Cognito exception of each reason.
REASONS: Mapping[ErrorReason, tuple[grpc.StatusCode, str | None]] = MappingProxyType(
    {
        ErrorReason.VALIDATION_FAILED: (grpc.StatusCode.INVALID_ARGUMENT, "ValidationException"),
        ErrorReason.INVALID_PARAMETER: (grpc.StatusCode.INVALID_ARGUMENT, "InvalidParameterException"),
        ErrorReason.NOT_AUTHORIZED: (grpc.StatusCode.PERMISSION_DENIED, "NotAuthorizedException"),
        ErrorReason.RESOURCE_NOT_FOUND: (grpc.StatusCode.NOT_FOUND, "ResourceNotFoundException"),
        ErrorReason.RESOURCE_CONFLICT: (grpc.StatusCode.FAILED_PRECONDITION, "ResourceConflictException"),
        ErrorReason.DEVELOPER_USER_ALREADY_REGISTERED: (
            grpc.StatusCode.ALREADY_EXISTS,
            "DeveloperUserAlreadyRegisteredException",
        ),
        ErrorReason.LIMIT_EXCEEDED: (grpc.StatusCode.FAILED_PRECONDITION, "LimitExceededException"),
        ErrorReason.TOO_MANY_REQUESTS: (grpc.StatusCode.RESOURCE_EXHAUSTED, "TooManyRequestsException"),
        ErrorReason.LOGIN_PROVIDER_UNAVAILABLE: (grpc.StatusCode.UNAVAILABLE, "ExternalServiceException"),
        ErrorReason.ENGINE_UNAVAILABLE: (grpc.StatusCode.UNAVAILABLE, "InternalErrorException"),
        ErrorReason.ENGINE_CREDENTIALS_REJECTED: (grpc.StatusCode.UNAVAILABLE, None),
        ErrorReason.CALLER_UNAUTHENTICATED: (grpc.StatusCode.UNAUTHENTICATED, None),
        ErrorReason.CALLER_NOT_ALLOWED: (grpc.StatusCode.PERMISSION_DENIED, None),
        ErrorReason.UNSUPPORTED_BY_ENGINE: (grpc.StatusCode.UNIMPLEMENTED, None),
        ErrorReason.INTERNAL: (grpc.StatusCode.INTERNAL, None),
        ErrorReason.METADATA_TOO_LARGE: (grpc.StatusCode.RESOURCE_EXHAUSTED, None),
    }
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Describes how a call fails.

    Attributes:
        reason: The reason; None for a failure without one, as if the service was not reached.
        code: The status code; None for the code of the reason, or UNAVAILABLE.
        text: A human-readable description.
        retry_delay: How long the caller should wait before the next try.
        violations: The fields that break their limits.
        resource: The missing resource.
        quota_subject: The id of the identity that would exceed its limit of logins.
        aws_error_code: The Cognito exception; None for the exception of the reason.
        aws_request_id: The id of a request to Cognito.
        request_id: The id of the call in the service's log.
        hangs: Whether the call gets no response until its caller's deadline.
    """

    reason: ErrorReason | None = None
    _: KW_ONLY
    code: grpc.StatusCode | None = None
    text: str = "As the test wants it."
    retry_delay: timedelta | None = None
    violations: tuple[FieldViolation, ...] = ()
    resource: Resource | None = None
    quota_subject: str | None = None
    aws_error_code: str | None = None
    aws_request_id: str | None = None
    request_id: str | None = None
    hangs: bool = False


class Refused(Exception):
    """Raised by an operation that fails like the service's."""

    def __init__(
        self,
        reason: ErrorReason,
        text: str,
        *,
        resource: Resource | None = None,
        violations: tuple[FieldViolation, ...] = (),
        quota_subject: str | None = None,
    ) -> None:
        super().__init__(text)
        self.failure = Failure(reason, text=text, resource=resource, violations=violations, quota_subject=quota_subject)


def abort(context: grpc.ServicerContext, failure: Failure) -> NoReturn:
    """Ends a call with a failure."""
    code = failure.code or (REASONS[failure.reason][0] if failure.reason else grpc.StatusCode.UNAVAILABLE)
    status = Status(code=code.value[0], message=failure.text, details=map(_pack, _details(failure)))
    context.set_trailing_metadata(((DETAILS_TRAILER, status.SerializeToString()),))
    context.abort(code, failure.text)


def _details(failure: Failure) -> Iterable[Message]:
    if failure.reason:
        exception = failure.aws_error_code or REASONS[failure.reason][1]
        metadata = {"aws_error_code": exception, "aws_request_id": failure.aws_request_id}
        given = {name: value for name, value in metadata.items() if value}
        yield ErrorInfo(reason=failure.reason, domain=DOMAIN, metadata=given)
    if failure.retry_delay is not None:
        delay = Duration()
        delay.FromTimedelta(failure.retry_delay)
        yield RetryInfo(retry_delay=delay)
    if failure.violations:
        violations = [BadRequest.FieldViolation(field=v.field, description=v.description) for v in failure.violations]
        yield BadRequest(field_violations=violations)
    if failure.resource:
        resource = failure.resource
        yield ResourceInfo(resource_type=resource.type, resource_name=resource.name, description=failure.text)
    if failure.quota_subject:
        full = QuotaFailure.Violation(subject=failure.quota_subject, description=failure.text)
        yield QuotaFailure(violations=[full])
    if failure.request_id:
        yield RequestInfo(request_id=failure.request_id)


def _pack(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed
