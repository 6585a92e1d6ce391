"""The errors of calls, in the terms of Cognito and of the contract, independent of any transport.

    TokendError
    ├── ValidationFailed                 fields violate their limits
    ├── InvalidParameter                 well-formed, but not accepted by the pool
    ├── NotAuthorized                    the logins do not give access to the identity
    ├── ResourceNotFound                 no such pool, identity or developer user
    ├── ResourceConflict                 a login is linked elsewhere
    ├── DeveloperUserAlreadyRegistered   the developer user has another identity
    ├── LimitExceeded                    too many linked logins
    ├── TooManyRequests                  throttled
    ├── LoginProviderUnavailable         a public login provider does not answer
    ├── EngineUnavailable                the engine, its store or Cognito does not answer
    ├── AuditUnavailable                 the audit log cannot be written
    ├── EngineCredentialsRejected        the service's own AWS credentials are missing or refused
    ├── EngineMisconfigured              the engine's settings name the wrong service
    ├── InvalidIdentityPoolConfiguration no role, or AWS STS does not let the token assume it
    ├── CallerUnauthenticated            the caller is not identified
    ├── CallerNotAllowed                 the caller is identified but not allowed
    ├── UnsupportedByEngine              the engine lacks the operation
    ├── MetadataTooLarge                 the call carries too much metadata
    └── DeadlineExceeded                 the caller's deadline has passed

An error's text is written for the caller and never contains a login value, a token or a key. `ConfigError` is for
operators and never raised by a call.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self


class TokendError(Exception):
    """A call failed for a reason that the contract defines.

    Attributes:
        reason: The name of the `ErrorReason` value, without its prefix; None for the one failure that has no reason.
        aws_error_code: The code that AWS sent, or the Cognito exception with the same meaning, if there is one.
        aws_request_id: The id of the request to Cognito that failed, if there was one.
        text: The message for the caller.
        advice: What the operator of the service should do; not shown to the caller.
        misuse: Well-behaved callers rarely cause it, so it counts against the connection.
    """

    reason: ClassVar[str | None] = None
    aws_error_code: str | None = None
    aws_request_id: str | None = None
    advice: str = ""
    misuse: bool = False

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def with_advice(self, advice: str) -> Self:
        """Sets the advice, and returns the error."""
        self.advice = advice
        return self


class RetryableError(TokendError):
    """A transient failure: the same call may succeed shortly afterwards.

    Attributes:
        retry_after: Seconds that the caller should wait before it retries.
    """

    def __init__(self, text: str, *, retry_after: float = 1.0) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class LastingError(TokendError):
    """A failure of every call until an operator acts; other processes with the same configuration fail too."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that violates its limit.

    Attributes:
        field: The path of the field in the request message, such as `logins.key`.
        constraint: The constraint of the field, in AWS's words.
        shown: Its value as AWS shows it, for transports that show values; empty for a secret.
    """

    field: str
    constraint: str
    shown: str = dataclasses.field(default="", repr=False)


class ValidationFailed(TokendError):
    """Raised when fields of a request violate their limits."""

    reason = "VALIDATION_FAILED"
    aws_error_code = "ValidationException"

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        count = len(violations)
        details = "; ".join(f"Value at '{v.field}' failed to satisfy constraint: {v.constraint}" for v in violations)
        super().__init__(f"{count} validation error{'s' * (count != 1)} detected: {details}")
        self.violations = tuple(violations)


class InvalidParameter(TokendError):
    """Raised when a request is well-formed but not accepted by its pool."""

    reason = "INVALID_PARAMETER"
    aws_error_code = "InvalidParameterException"


class NotAuthorized(TokendError):
    """Raised when the logins do not give access to the identity, or a login token does not verify."""

    reason = "NOT_AUTHORIZED"
    aws_error_code = "NotAuthorizedException"


class ResourceNotFound(TokendError):
    """Raised when a pool, an identity or a developer user does not exist.

    Attributes:
        resource_type: `IdentityPool`, `Identity` or `DeveloperUser`.
        resource_name: Its id; empty for a developer user, whose identifier is not repeated.
    """

    reason = "RESOURCE_NOT_FOUND"
    aws_error_code = "ResourceNotFoundException"

    def __init__(self, text: str, *, resource_type: str, resource_name: str = "") -> None:
        super().__init__(text)
        self.resource_type = resource_type
        self.resource_name = resource_name

    @classmethod
    def identity_pool(cls, identity_pool_id: str) -> "ResourceNotFound":
        """Returns the error for an unknown pool."""
        return cls(
            f"IdentityPool '{identity_pool_id}' not found.",
            resource_type="IdentityPool",
            resource_name=identity_pool_id,
        )

    @classmethod
    def identity(cls, identity_id: str) -> "ResourceNotFound":
        """Returns the error for an unknown identity."""
        return cls(f"Identity '{identity_id}' not found.", resource_type="Identity", resource_name=identity_id)

    @classmethod
    def developer_user(cls) -> "ResourceNotFound":
        """Returns the error for an unknown user of the developer provider."""
        return cls("Developer user not found in this identity pool.", resource_type="DeveloperUser")


class ResourceConflict(TokendError):
    """Raised when a login is linked to an identity other than the one it should be linked to."""

    reason = "RESOURCE_CONFLICT"
    aws_error_code = "ResourceConflictException"


class DeveloperUserAlreadyRegistered(TokendError):
    """Raised when the developer user is registered under an identity id other than the given one."""

    reason = "DEVELOPER_USER_ALREADY_REGISTERED"
    aws_error_code = "DeveloperUserAlreadyRegisteredException"


class LimitExceeded(TokendError):
    """Raised when an identity would exceed the maximum number of linked logins.

    Attributes:
        subject: The id of the identity.
    """

    reason = "LIMIT_EXCEEDED"
    aws_error_code = "LimitExceededException"

    def __init__(self, text: str, *, subject: str) -> None:
        super().__init__(text)
        self.subject = subject


class TooManyRequests(RetryableError):
    """Raised when a call is refused because of a rate or concurrency limit."""

    reason = "TOO_MANY_REQUESTS"
    aws_error_code = "TooManyRequestsException"


class LoginProviderUnavailable(RetryableError):
    """Raised when a login token cannot be verified because its provider does not answer."""

    reason = "LOGIN_PROVIDER_UNAVAILABLE"
    aws_error_code = "ExternalServiceException"


class EngineUnavailable(RetryableError):
    """Raised when the engine, its store or Cognito does not answer."""

    reason = "ENGINE_UNAVAILABLE"
    aws_error_code = "InternalErrorException"


class AuditUnavailable(RetryableError):
    """Raised when a call cannot be recorded in the audit log although the audit log is required."""

    reason = "ENGINE_UNAVAILABLE"
    aws_error_code = "InternalErrorException"


class EngineCredentialsRejected(LastingError):
    """Raised when the service's own AWS credentials are missing or refused."""

    reason = "ENGINE_CREDENTIALS_REJECTED"


class EngineMisconfigured(LastingError):
    """Raised when the engine's settings lead to something other than the intended service."""

    reason = "ENGINE_UNAVAILABLE"
    aws_error_code = "InternalErrorException"


class InvalidIdentityPoolConfiguration(LastingError):
    """Raised when there is no IAM role for an identity, or AWS STS does not let its token assume it."""

    reason = "ENGINE_UNAVAILABLE"
    aws_error_code = "InvalidIdentityPoolConfigurationException"


class CallerUnauthenticated(TokendError):
    """Raised when the caller cannot be identified."""

    reason = "CALLER_UNAUTHENTICATED"
    misuse = True


class CallerNotAllowed(TokendError):
    """Raised when the service's policy does not allow the caller to make the call."""

    reason = "CALLER_NOT_ALLOWED"


class UnsupportedByEngine(TokendError):
    """Raised when the pool's engine does not have the operation."""

    reason = "UNSUPPORTED_BY_ENGINE"


class MetadataTooLarge(TokendError):
    """Raised when a call carries more metadata than the service accepts."""

    reason = "METADATA_TOO_LARGE"
    misuse = True


class DeadlineExceeded(TokendError):
    """Raised when the caller's deadline has passed."""

    def __init__(self) -> None:
        super().__init__("The deadline was exceeded before the call was completed.")


class ConfigError(Exception):
    """Raised when the configuration cannot be used.

    Attributes:
        problems: Each problem, as `setting: what is wrong`.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
