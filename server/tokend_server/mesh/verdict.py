"""What becomes of a request that Envoy asks about."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from tokend_server import errors
from tokend_server.errors import TokendError


class Verdict(StrEnum):
    """What becomes of a request; the value is the metric label."""

    TOKEN = "token"  # noqa: S105
    """It goes on with a token."""

    UNAUTHENTICATED = "unauthenticated"
    """It has no user: 401."""

    DENIED = "denied"
    """403."""

    FAILED = "failed"
    """tokend has failed: 503."""

    LET_THROUGH = "let_through"
    """tokend has failed, and it goes on without a token."""


#: What each error of the operation means to a request: that it may not have a token, or that tokend has failed.
VERDICTS: Mapping[type[TokendError], Verdict] = MappingProxyType(
    {
        errors.ValidationFailed: Verdict.DENIED,
        errors.InvalidParameter: Verdict.DENIED,
        errors.NotAuthorized: Verdict.DENIED,
        errors.ResourceNotFound: Verdict.DENIED,
        errors.ResourceConflict: Verdict.DENIED,
        errors.DeveloperUserAlreadyRegistered: Verdict.DENIED,
        errors.LimitExceeded: Verdict.DENIED,
        errors.TooManyRequests: Verdict.FAILED,
        errors.LoginProviderUnavailable: Verdict.FAILED,
        errors.EngineUnavailable: Verdict.FAILED,
        errors.AuditUnavailable: Verdict.FAILED,
        errors.EngineCredentialsRejected: Verdict.FAILED,
        errors.EngineMisconfigured: Verdict.FAILED,
        errors.InvalidIdentityPoolConfiguration: Verdict.FAILED,
        errors.CallerUnauthenticated: Verdict.DENIED,
        errors.CallerNotAllowed: Verdict.DENIED,
        errors.UnsupportedByEngine: Verdict.DENIED,
        errors.MetadataTooLarge: Verdict.DENIED,
        errors.DeadlineExceeded: Verdict.FAILED,
    }
)
