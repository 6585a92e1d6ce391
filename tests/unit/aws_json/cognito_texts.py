"""The known texts of Cognito's errors, with their certainty; `{}` replaces variable parts.

A certain text is in AWS's documentation or in its service model; a likely one was reported; an inferred one has
the form of a similar text.
"""

from typing import Literal, NamedTuple

Mark = Literal["certain", "likely", "inferred"]


class Fact(NamedTuple):
    """One text.

    Attributes:
        exception: Its exception; empty if no report has it.
        text: The text.
        mark: Its certainty.
    """

    exception: str
    text: str
    mark: Mark


_LOGIN = "NotAuthorizedException"
_SIGNATURE = "InvalidSignatureException"

FACTS = (
    Fact("ResourceNotFoundException", "IdentityPool '{}' not found.", "certain"),
    Fact("ResourceNotFoundException", "Identity '{}' not found.", "inferred"),
    Fact(
        "DeveloperUserAlreadyRegisteredException",
        "This developer user identifier is already registered with Cognito.",
        "certain",
    ),
    Fact(
        "InvalidIdentityPoolConfigurationException",
        "Invalid identity pool configuration. Check assigned IAM roles for this pool.",
        "certain",
    ),
    Fact(
        _LOGIN,
        "Logins don't match. Please include at least one valid login for this identity or identity pool.",
        "likely",
    ),
    Fact(_LOGIN, "Access to Identity '{}' is forbidden.", "likely"),
    Fact(_LOGIN, "Unauthenticated access is not supported for this identity pool.", "likely"),
    Fact(_LOGIN, "Token is not from a supported provider of this identity pool.", "likely"),
    Fact(_LOGIN, "Identity pool - {} does not have identity providers configured.", "likely"),
    Fact(_LOGIN, "Invalid login token. {}", "likely"),
    Fact(_LOGIN, "Invalid login token. Can't pass in a Cognito token.", "likely"),
    Fact(_LOGIN, "The ambiguous role mapping rules for: {} denied this request.", "likely"),
    Fact("InvalidParameterException", "Please provide a valid public provider", "likely"),
    Fact("InvalidParameterException", "Basic (classic) flow is not enabled, please use enhanced flow.", "likely"),
    Fact(
        "InvalidParameterException",
        "Basic (classic) flow is not supported with RoleMappings, please use enhanced flow.",
        "likely",
    ),
    Fact("", "This identity pool does not support the specified developer provider", "likely"),
)

#: The texts after `Invalid login token. `.
LOGIN_TOKENS = (
    "Token expired: {} >= {}",
    "Issuer doesn't match providerName",
    "Missing a required claim: {}",
    "Not a valid OpenId Connect identity token.",
    "Couldn't verify signed token.",
)

#: The texts of all AWS services before they process a request, as reported for services with AWS JSON: all are likely.
OF_ALL_SERVICES = (
    Fact("MissingAuthenticationTokenException", "Missing Authentication Token", "likely"),
    Fact("UnrecognizedClientException", "The security token included in the request is invalid.", "likely"),
    Fact(
        _SIGNATURE,
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details.",
        "likely",
    ),
    Fact(_SIGNATURE, "Signature expired: {} is now earlier than {} ({} - 5 min.)", "likely"),
    Fact(_SIGNATURE, "Signature not yet current: {} is still later than {} ({} + 5 min.)", "likely"),
    Fact(_SIGNATURE, "Credential should be scoped to correct service: '{}'.", "likely"),
    Fact(_SIGNATURE, "Credential should be scoped to a valid region, not '{}'.", "likely"),
    Fact(
        _SIGNATURE,
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}', from "
        "'{}'.",
        "likely",
    ),
    Fact(
        "ValidationException",
        "1 validation error detected: Value null at '{}' failed to satisfy constraint: {}",
        "likely",
    ),
    Fact(
        "ValidationException",
        "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: {}",
        "likely",
    ),
    Fact(
        "ValidationException", "1 validation error detected: Value at '{}' failed to satisfy constraint: {}", "likely"
    ),
    Fact("ValidationException", "2 validation errors detected: {}; {}", "likely"),
    Fact("TooManyRequestsException", "Rate exceeded", "likely"),
    Fact(
        "AccessDeniedException", "User: {} is not authorized to perform: cognito-identity:{} on resource: {}", "likely"
    ),
)
