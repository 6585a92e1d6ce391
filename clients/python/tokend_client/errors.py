"""How a call fails, as a caller can decide on it."""

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


class Forked(Closed):
    """Raised in a child process that was forked from the one in which the client, the source or the cache was made."""

    def __init__(
        self,
        text: str = "Made before this process was forked: make a client, with its sources and caches, in each process.",
        code: grpc.StatusCode = grpc.StatusCode.CANCELLED,
    ) -> None:
        super().__init__(text, code)


def protocol_error(text: str) -> TokendError:
    """What an answer becomes that breaks the contract."""
    return TokendError(f"The answer breaks the contract: {text}", grpc.StatusCode.INTERNAL)


def cannot_refresh(error: BaseException) -> TokendError:
    """The error of a refresh that could not even be asked for; the cause's own text may hold a login."""
    if isinstance(error, TokendError):
        return error
    return TokendError(f"The refresh cannot be made: {type(error).__name__}", grpc.StatusCode.UNKNOWN)


#: What a service's own call fails with when there is no token for it, by the reason (`clients/README.md`).
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

#: Codes without a reason that stay as they are.
_KEPT = frozenset(
    {
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    }
)


def downstream_code(error: TokendError) -> grpc.StatusCode:
    """The code with which a service fails a call of its own that needed the token, by `clients/README.md`.

    A caller that gave up its own call, by cancelling it, fails that with CANCELLED; here, CANCELLED comes from a source
    that was closed, and becomes UNAVAILABLE.
    """
    if error.reason is not None:
        return _DOWNSTREAM.get(error.reason, grpc.StatusCode.UNAVAILABLE)
    return error.code if error.code in _KEPT else grpc.StatusCode.UNAVAILABLE
