"""Decides to which identity the logins of a user's own device give access; pure functions.

The rules are those of the Cognito Developer Guide's pages on authentication flows and on switching from guests.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from tokend_server.engines.local.outcomes import Situation, refusal
from tokend_server.engines.local.resolution import check_linkable
from tokend_server.model import Identity, Login


class Access(NamedTuple):
    """The identity to which logins give access.

    Attributes:
        identity: The identity, to which its missing logins must be linked.
        disables: The guest that it replaces.
    """

    identity: Identity
    disables: Identity | None = None


def identity_of(logins: Collection[Login], owners: Mapping[Login, Identity], provider_name: str) -> Identity | None:
    """Returns the identity to link logins to if the request names none; None for a new one.

    Args:
        logins: The logins, at least one.
        owners: The identities of those that are linked.
        provider_name: The pool's developer provider.

    Raises:
        ResourceConflict: The logins belong to different identities, or the identity has another user of a provider.
        LimitExceeded: It would hold too many logins.
    """
    identity = _only_owner(owners)
    if identity is not None:
        check_linkable(identity, logins, provider_name)
    return identity


def access_by_logins(
    identity: Identity, logins: Collection[Login], owners: Mapping[Login, Identity], provider_name: str
) -> Access:
    """Returns the access that logins give to a named identity.

    Args:
        identity: The identity.
        logins: The logins, at least one.
        owners: The identities of those that are linked.
        provider_name: The pool's developer provider.

    Raises:
        NotAuthorized: The identity is disabled, or none of the logins belongs to it.
        ResourceConflict: Logins belong to different identities, or the identity has another user of a provider.
        LimitExceeded: It would hold too many logins.
    """
    check_enabled(identity)
    if not identity.logins:
        owner = _only_owner(owners)
        access = Access(owner, disables=identity) if owner else Access(identity)
    elif identity.logins.isdisjoint(logins):
        raise refusal(Situation.LOGINS_OF_NO_USE, identity.identity_id)
    elif any(owner.identity_id != identity.identity_id for owner in owners.values()):
        raise refusal(Situation.PUBLIC_LOGIN_OF_ANOTHER_IDENTITY, identity.identity_id)
    else:
        access = Access(identity)
    check_linkable(access.identity, logins, provider_name)
    return access


def check_guest(identity: Identity, *, guests: bool) -> None:
    """Checks that an identity may be used without logins.

    Args:
        identity: The identity.
        guests: Whether its pool allows guests.

    Raises:
        NotAuthorized: It is disabled, it has logins, or the pool does not allow guests.
    """
    check_enabled(identity)
    if identity.logins:
        raise refusal(Situation.IDENTITY_NEEDS_LOGINS, identity.identity_id)
    if not guests:
        raise refusal(Situation.GUESTS_NOT_ALLOWED, identity.identity_pool_id)


def check_enabled(identity: Identity) -> None:
    """Checks that an identity is not disabled.

    Raises:
        NotAuthorized: It is disabled.
    """
    if identity.disabled:
        raise refusal(Situation.NAMED_IDENTITY_DISABLED, identity.identity_id)


def _only_owner(owners: Mapping[Login, Identity]) -> Identity | None:
    found = {owner.identity_id: owner for owner in owners.values()}
    if len(found) > 1:
        raise refusal(Situation.PUBLIC_LOGINS_APART, "")
    return next(iter(found.values()), None)
