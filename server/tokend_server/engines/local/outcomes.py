"""The policy table: the local engine's behavior where AWS does not document it, or where it could not be verified.

Each situation has one row with the outcome, the certainty that Cognito does the same, and the reason for the choice.
New knowledge about Cognito changes only a row here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from tokend_server.errors import (
    DeveloperUserAlreadyRegistered,
    InvalidParameter,
    LimitExceeded,
    NotAuthorized,
    ResourceConflict,
    ResourceNotFound,
    TokendError,
)
from tokend_server.model import MAX_LINKED_LOGINS


class Certainty(Enum):
    """The certainty that Cognito does the same."""

    LIKELY = "seen in independent public reports"
    INFERRED = "our reading of the documentation"
    UNKNOWN = "no evidence; a reasoned choice"


class Situation(Enum):
    """A situation that AWS does not document fully; the named identity is the one in the request."""

    NAMED_IDENTITY_UNKNOWN = auto()
    NAMED_IDENTITY_DISABLED = auto()
    DEVELOPER_USER_OF_ANOTHER_IDENTITY = auto()
    DEVELOPER_USER_OF_ANOTHER_IDENTITY_THAN_GUEST = auto()
    PUBLIC_LOGIN_OF_ANOTHER_IDENTITY = auto()
    NAMED_IDENTITY_HAS_OTHER_DEVELOPER_USERS = auto()
    NAMED_IDENTITY_HAS_ONLY_PUBLIC_LOGINS_NOT_PRESENTED = auto()
    DEVELOPER_USER_AND_PUBLIC_LOGIN_APART = auto()
    PUBLIC_LOGINS_APART = auto()
    SECOND_USER_OF_PUBLIC_PROVIDER = auto()
    TOO_MANY_LINKED_LOGINS = auto()
    DEVELOPER_PROVIDER_MISSING = auto()
    DEVELOPER_PROVIDER_UNSUPPORTED = auto()
    PUBLIC_PROVIDER_NOT_CONFIGURED = auto()
    PUBLIC_PROVIDER_OPAQUE = auto()
    COGNITO_TOKEN_AS_LOGIN = auto()
    MERGE_OF_TWO_USERS_OF_PUBLIC_PROVIDER = auto()
    UNLINKED_USER_OF_ANOTHER_IDENTITY = auto()
    GUESTS_NOT_ALLOWED = auto()
    IDENTITY_NEEDS_LOGINS = auto()
    LOGINS_OF_NO_USE = auto()
    CLASSIC_FLOW_NOT_ENABLED = auto()
    PROVIDER_NOT_PUBLIC = auto()
    NO_PROVIDERS_CONFIGURED = auto()
    OWN_TOKEN_WITH_OTHER_LOGINS = auto()
    LOOKUP_OF_NOTHING = auto()
    FOREIGN_NEXT_TOKEN = auto()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of the table: the outcome of a situation.

    Attributes:
        refusal: Makes the error from the subject (an identity id or a provider name); None if the call continues.
        certainty: The certainty that Cognito does the same.
        why: The reason for this outcome.
    """

    refusal: Callable[[str], TokendError] | None
    certainty: Certainty
    why: str


def _logins_do_not_match(_subject: str) -> TokendError:
    return NotAuthorized(
        "Logins don't match. Please include at least one valid login for this identity or identity pool."
    )


def _forbidden(identity_id: str) -> TokendError:
    return NotAuthorized(f"Access to Identity '{identity_id}' is forbidden.")


def _already_registered(_subject: str) -> TokendError:
    return DeveloperUserAlreadyRegistered("This developer user identifier is already registered with Cognito.")


def _linked_elsewhere(_subject: str) -> TokendError:
    return ResourceConflict("A login is already linked to another identity.")


def _logins_apart(_subject: str) -> TokendError:
    return ResourceConflict("The logins are linked to different identities.")


def _second_user(provider_name: str) -> TokendError:
    return ResourceConflict(f"The identity is already linked to another user of {provider_name}.")


OUTCOMES: Mapping[Situation, Outcome] = {
    Situation.NAMED_IDENTITY_UNKNOWN: Outcome(
        ResourceNotFound.identity,
        Certainty.INFERRED,
        "The exception is declared for the operation; another pool's identity must be indistinguishable from none.",
    ),
    Situation.NAMED_IDENTITY_DISABLED: Outcome(
        _forbidden,
        Certainty.LIKELY,
        "Reported for GetOpenIdToken and GetCredentialsForIdentity.",
    ),
    Situation.DEVELOPER_USER_OF_ANOTHER_IDENTITY: Outcome(
        _already_registered,
        Certainty.LIKELY,
        "It is the exception's definition.",
    ),
    Situation.DEVELOPER_USER_OF_ANOTHER_IDENTITY_THAN_GUEST: Outcome(
        _already_registered,
        Certainty.UNKNOWN,
        "The guide also mentions implicit merging, but a guest may be cached on a device: it must be disabled only on "
        "request, not as a side effect.",
    ),
    Situation.PUBLIC_LOGIN_OF_ANOTHER_IDENTITY: Outcome(
        _linked_elsewhere,
        Certainty.INFERRED,
        "The exception's definition; merging would disable an identity that the caller did not name.",
    ),
    Situation.NAMED_IDENTITY_HAS_OTHER_DEVELOPER_USERS: Outcome(
        None,
        Certainty.UNKNOWN,
        "Lookup returns a list of users, so an identity may have several, which are linked by its id.",
    ),
    Situation.NAMED_IDENTITY_HAS_ONLY_PUBLIC_LOGINS_NOT_PRESENTED: Outcome(
        _logins_do_not_match,
        Certainty.LIKELY,
        "Reported for backends that link a developer user to a social identity without the user's live token.",
    ),
    Situation.DEVELOPER_USER_AND_PUBLIC_LOGIN_APART: Outcome(
        _logins_apart,
        Certainty.INFERRED,
        "Which identity would remain after a merge is not documented; in MergeDeveloperIdentities it is explicit.",
    ),
    Situation.PUBLIC_LOGINS_APART: Outcome(
        _logins_apart,
        Certainty.INFERRED,
        "As for a developer user and a public login.",
    ),
    Situation.SECOND_USER_OF_PUBLIC_PROVIDER: Outcome(
        _second_user,
        Certainty.LIKELY,
        "The guide allows one login for each public provider and identity.",
    ),
    Situation.TOO_MANY_LINKED_LOGINS: Outcome(
        lambda identity_id: LimitExceeded(
            f"An identity can have at most {MAX_LINKED_LOGINS} linked logins.", subject=identity_id
        ),
        Certainty.INFERRED,
        "The quota is documented; the operation declares no exception for it, and this one names the problem.",
    ),
    Situation.DEVELOPER_PROVIDER_MISSING: Outcome(
        lambda provider_name: InvalidParameter(
            f"Logins must contain the developer provider of this identity pool, {provider_name}."
        ),
        Certainty.INFERRED,
        "The reference requires the entry, so without it the parameter is invalid.",
    ),
    Situation.DEVELOPER_PROVIDER_UNSUPPORTED: Outcome(
        lambda _provider_name: InvalidParameter("This identity pool does not support the specified developer provider"),
        Certainty.LIKELY,
        "The text was reported, without its exception.",
    ),
    Situation.PUBLIC_PROVIDER_NOT_CONFIGURED: Outcome(
        lambda _provider_name: NotAuthorized("Token is not from a supported provider of this identity pool."),
        Certainty.LIKELY,
        "Reported for user pools that are not providers of the identity pool.",
    ),
    Situation.PUBLIC_PROVIDER_OPAQUE: Outcome(
        lambda provider_name: InvalidParameter(
            f"The local engine does not support the login provider {provider_name}."
        ),
        Certainty.UNKNOWN,
        "A gap of the local engine: only the provider can verify its opaque access tokens.",
    ),
    Situation.COGNITO_TOKEN_AS_LOGIN: Outcome(
        lambda _provider_name: NotAuthorized("Invalid login token. Can't pass in a Cognito token."),
        Certainty.LIKELY,
        "Reported for GetId; a token issued by the pool proves no login to a backend.",
    ),
    Situation.MERGE_OF_TWO_USERS_OF_PUBLIC_PROVIDER: Outcome(
        _second_user,
        Certainty.INFERRED,
        "By the reference such a merge fails, and ResourceConflict is the matching declared exception.",
    ),
    Situation.UNLINKED_USER_OF_ANOTHER_IDENTITY: Outcome(
        _linked_elsewhere,
        Certainty.UNKNOWN,
        "LookupDeveloperIdentity documents it for an identity and a user who is not linked to it.",
    ),
    Situation.GUESTS_NOT_ALLOWED: Outcome(
        lambda _pool_id: NotAuthorized("Unauthenticated access is not supported for this identity pool."),
        Certainty.LIKELY,
        "Reported for GetId and GetCredentialsForIdentity.",
    ),
    Situation.IDENTITY_NEEDS_LOGINS: Outcome(
        _forbidden,
        Certainty.LIKELY,
        "Reported for identities with logins when a device omits them.",
    ),
    Situation.LOGINS_OF_NO_USE: Outcome(
        _logins_do_not_match,
        Certainty.LIKELY,
        "Reported for another user's identity id that a device has cached.",
    ),
    Situation.CLASSIC_FLOW_NOT_ENABLED: Outcome(
        lambda _pool_id: InvalidParameter("Basic (classic) flow is not enabled, please use enhanced flow."),
        Certainty.LIKELY,
        "Reported for GetOpenIdToken on pools with AllowClassicFlow=false.",
    ),
    Situation.PROVIDER_NOT_PUBLIC: Outcome(
        lambda _provider_name: InvalidParameter("Please provide a valid public provider"),
        Certainty.LIKELY,
        "Reported for the developer provider's name in a device's logins.",
    ),
    Situation.NO_PROVIDERS_CONFIGURED: Outcome(
        lambda pool_id: NotAuthorized(f"Identity pool - {pool_id} does not have identity providers configured."),
        Certainty.LIKELY,
        "Reported for logins in a request to a pool without providers.",
    ),
    Situation.OWN_TOKEN_WITH_OTHER_LOGINS: Outcome(
        lambda _identity_id: InvalidParameter("A token of cognito-identity.amazonaws.com must be the only login."),
        Certainty.UNKNOWN,
        "By the guide only the backend links logins with a developer user.",
    ),
    Situation.LOOKUP_OF_NOTHING: Outcome(
        lambda _subject: InvalidParameter("Either IdentityId or DeveloperUserIdentifier must be given."),
        Certainty.INFERRED,
        "The reference requires one of them; it is the matching declared exception.",
    ),
    Situation.FOREIGN_NEXT_TOKEN: Outcome(
        lambda _subject: InvalidParameter("NextToken is not one that this operation returned."),
        Certainty.INFERRED,
        "The exception that AWS uses for page tokens in general.",
    ),
}


def check_allowed(situation: Situation, subject: str) -> None:
    """Applies the table: returns if the call may continue and link, raises an error if it is refused.

    Args:
        situation: The situation of the call.
        subject: The identity id or the provider name that the situation concerns.

    Raises:
        TokendError: The row's refusal.
    """
    if make_error := OUTCOMES[situation].refusal:
        raise make_error(subject)


def refusal(situation: Situation, subject: str) -> TokendError:
    """Returns the error of a situation in which calls are always refused."""
    make_error = OUTCOMES[situation].refusal
    if make_error is None:
        raise ValueError(f"{situation} needs a refusal, because the call cannot continue")
    return make_error(subject)
