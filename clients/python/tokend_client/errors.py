"""How a call fails, as a caller can decide on it."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import grpc


class ErrorReason(StrEnum):
    """The reasons of the contract (`proto/tokend/v1/error_reason.proto`), without their prefix."""

    VALIDATION_FAILED = "VALIDATION_FAILED"
    INVALID_PARAMETER = "INVALID_PARAMETER"
    NOT_AUTHORIZED = "NOT_AUTHORIZED"
    RESOURCE_NOT_FOUND = "RESOURCE_NOT_FOUND"
    RESOURCE_CONFLICT = "RESOURCE_CONFLICT"
    DEVELOPER_USER_ALREADY_REGISTERED = "DEVELOPER_USER_ALREADY_REGISTERED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    LOGIN_PROVIDER_UNAVAILABLE = "LOGIN_PROVIDER_UNAVAILABLE"
    ENGINE_UNAVAILABLE = "ENGINE_UNAVAILABLE"
    ENGINE_CREDENTIALS_REJECTED = "ENGINE_CREDENTIALS_REJECTED"
    CALLER_UNAUTHENTICATED = "CALLER_UNAUTHENTICATED"
    CALLER_NOT_ALLOWED = "CALLER_NOT_ALLOWED"
    UNSUPPORTED_BY_ENGINE = "UNSUPPORTED_BY_ENGINE"
    INTERNAL = "INTERNAL"
    METADATA_TOO_LARGE = "METADATA_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field of the request that breaks its limit: its path, such as `logins.key`, and what it must satisfy."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Resource:
    """What a call did not find: `IdentityPool`, `Identity` or `DeveloperUser`, and its id where that is no secret."""

    type: str
    name: str


class TokendError(Exception):
    """Raised when a call fails. Decide on `reason` and `code`; texts are for people and may change.

    Attributes:
        text: What the service says, or why it was not reached. It holds no login value and no token.
        code: The gRPC status code.
        reason: A value of `ErrorReason`, or the text of one that this release does not know; None where the service
            did not answer itself, as for a spent deadline or a lost connection.
        retry_delay: How long the service asks to wait before the call is repeated (`google.rpc.RetryInfo`).
        aws_error_code: The Cognito exception of the same meaning, if there is one.
        aws_request_id: The id of the request to Cognito that failed, if there was one.
        violations: The fields that break their limits (`google.rpc.BadRequest`).
        resource: What was not found (`google.rpc.ResourceInfo`).
        request_id: Leads to the service's log when the service has a defect (`google.rpc.RequestInfo`).
    """

    reason: str | None = None
    retry_delay: timedelta | None = None
    aws_error_code: str | None = None
    aws_request_id: str | None = None
    violations: tuple[FieldViolation, ...] = ()
    resource: Resource | None = None
    request_id: str | None = None

    def __init__(self, text: str, code: grpc.StatusCode) -> None:
        super().__init__(text, code)
        self.text = text
        self.code = code

    def __str__(self) -> str:
        return f"{' '.join(filter(None, (self.code.name, self.reason)))}: {self.text}"


class Closed(TokendError):
    """Raised when a client, a token source or a cache is asked after it was closed, or closed while it was asked."""

    def __init__(self, text: str = "Closed by its user.", code: grpc.StatusCode = grpc.StatusCode.CANCELLED) -> None:
        super().__init__(text, code)
