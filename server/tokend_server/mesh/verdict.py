"""The verdicts on Envoy's requests."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from tokend_server import errors
from tokend_server.errors import TokendError


class Verdict(StrEnum):
    """The verdict on a request; its value is the metric label."""

    TOKEN = "token"  # noqa: S105
    """It is forwarded with a token."""

    UNAUTHENTICATED = "unauthenticated"
    """It has no user: 401."""

    DENIED = "denied"
    """403."""

    FAILED = "failed"
    """tokend has failed: 503."""

    LET_THROUGH = "let_through"
    """tokend has failed, and it is forwarded without a token."""


#: The verdict for each error of the operation: the request is denied, or tokend has failed.
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
