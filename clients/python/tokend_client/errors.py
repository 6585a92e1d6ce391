"""The errors of calls, for decisions of the caller."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType

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
    """A field of the request that breaks its limit: its path, such as `logins.key`, and the constraint."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Resource:
    """A missing resource: `IdentityPool`, `Identity` or `DeveloperUser`, and its id unless it is a secret."""

    type: str
    name: str


class TokendError(Exception):
    """Raised when a call fails. Programs should decide on `reason` and `code`; texts are for humans and may change.

    Attributes:
        text: The service's message, or why it was not reached. It contains no login value and no token.
        code: The gRPC status code.
        reason: A value of `ErrorReason`, or the string of one that this release does not know; None if the service did
            not respond itself, for example after an exceeded deadline or a lost connection.
        retry_delay: How long to wait before the next try (`google.rpc.RetryInfo`).
        aws_error_code: The Cognito exception with the same meaning, if there is one.
        aws_request_id: The id of the request to Cognito that failed, if there was one.
        violations: The fields that break their limits (`google.rpc.BadRequest`).
        resource: The missing resource (`google.rpc.ResourceInfo`).
        request_id: Identifies the call in the service's log, for a defect of the service (`google.rpc.RequestInfo`).
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
    """Raised when a client, a token source or a cache is used after `close`, or closed during the call."""

    def __init__(self, text: str = "Closed by its user.", code: grpc.StatusCode = grpc.StatusCode.CANCELLED) -> None:
        super().__init__(text, code)


class Forked(Closed):
    """Raised in a forked child process for a client, a source or a cache of the parent process."""

    def __init__(
        self,
        text: str = "Created before this process was forked: create clients, sources and caches in each process.",
        code: grpc.StatusCode = grpc.StatusCode.CANCELLED,
    ) -> None:
        super().__init__(text, code)


def protocol_error(text: str) -> TokendError:
    """Returns the error of a response that breaks the contract."""
    return TokendError(f"The response breaks the contract: {text}", grpc.StatusCode.INTERNAL)


def cannot_refresh(error: BaseException) -> TokendError:
    """Returns the error of a refresh that could not be sent. The cause's own text may contain a login."""
    if isinstance(error, TokendError):
        return error
    return TokendError(f"The refresh cannot be sent: {type(error).__name__}", grpc.StatusCode.UNKNOWN)


#: The codes with which a service should fail its own call without a token, by the reason (`clients/README.md`).
_DOWNSTREAM: Mapping[str, grpc.StatusCode] = MappingProxyType(
    {
        ErrorReason.CALLER_UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
        **dict.fromkeys(
            (
                ErrorReason.NOT_AUTHORIZED,
                ErrorReason.CALLER_NOT_ALLOWED,
                ErrorReason.VALIDATION_FAILED,
                ErrorReason.INVALID_PARAMETER,
                ErrorReason.RESOURCE_NOT_FOUND,
                ErrorReason.RESOURCE_CONFLICT,
                ErrorReason.DEVELOPER_USER_ALREADY_REGISTERED,
                ErrorReason.LIMIT_EXCEEDED,
                ErrorReason.UNSUPPORTED_BY_ENGINE,
                ErrorReason.METADATA_TOO_LARGE,
            ),
            grpc.StatusCode.PERMISSION_DENIED,
        ),
        **dict.fromkeys(
            (
                ErrorReason.TOO_MANY_REQUESTS,
                ErrorReason.ENGINE_UNAVAILABLE,
                ErrorReason.LOGIN_PROVIDER_UNAVAILABLE,
                ErrorReason.ENGINE_CREDENTIALS_REJECTED,
                ErrorReason.INTERNAL,
            ),
            grpc.StatusCode.UNAVAILABLE,
        ),
    }
)

#: Codes without a reason that are kept.
_KEPT = frozenset(
    {
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    }
)


def downstream_code(error: TokendError) -> grpc.StatusCode:
    """Returns the code with which a service should fail its own call without a token, by `clients/README.md`.

    Here, CANCELLED comes from a closed source and becomes UNAVAILABLE. A caller that cancelled its own call should use
    CANCELLED.
    """
    if error.reason is not None:
        return _DOWNSTREAM.get(error.reason, grpc.StatusCode.UNAVAILABLE)
    return error.code if error.code in _KEPT else grpc.StatusCode.UNAVAILABLE
