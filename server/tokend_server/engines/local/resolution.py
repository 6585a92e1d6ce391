"""Decides which identity a call is for, from its logins and the identities that hold them; pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tokend_server.engines.local.outcomes import Situation, check_allowed, refusal
from tokend_server.model import MAX_LINKED_LOGINS, Identity, Login


class PresentedLogins(NamedTuple):
    """The verified logins of one call."""

    developer: Login
    public: tuple[Login, ...] = ()

    @property
    def all(self) -> tuple[Login, ...]:
        return (self.developer, *self.public)


def settled_identity(owners: Sequence[str | None], named_identity_id: str | None) -> str | None:
    """Returns the identity id if all logins are linked to one identity, and it is the named one if any.

    Args:
        owners: The identity ids to which the call's logins are linked.
        named_identity_id: The identity that the call names.

    Returns:
        The identity id; None in all other cases.
    """
    owner = owners[0]
    if named_identity_id and named_identity_id != owner:
        return None
    return owner if owners.count(owner) == len(owners) else None


def resolve(presented: PresentedLogins, owners: Mapping[Login, Identity], named: Identity | None) -> Identity | None:
    """Decides to which identity the logins must be linked.

    Args:
        presented: The call's logins.
        owners: The identities of the linked logins.
        named: The identity that the call names.

    Returns:
        The identity, to which its missing logins must be linked; None for a new one.

    Raises:
        TokendError: The logins cannot be linked to one identity.
    """
    identity = _common_owner(presented, owners) if named is None else _check_named(presented, owners, named)
    if identity is not None:
        check_linkable(identity, presented.all, presented.developer.provider_name)
    return identity


def check_linkable(
    identity: Identity,
    logins: Iterable[Login],
    developer_provider_name: str,
    second_user: Situation = Situation.SECOND_USER_OF_PUBLIC_PROVIDER,
) -> None:
    """Checks that an identity may hold these logins in addition to its own.

    Args:
        identity: The identity to link them to.
        logins: The logins; those that it already holds are not counted twice.
        developer_provider_name: The only provider of which an identity may have several users.
        second_user: The situation if it has another user of a public provider.

    Raises:
        ResourceConflict: It has another user of a public provider.
        LimitExceeded: It would hold too many logins.
    """
    together = identity.logins | set(logins)
    public_providers = [login.provider_name for login in together if login.provider_name != developer_provider_name]
    for provider_name in sorted(set(public_providers)):
        if public_providers.count(provider_name) > 1:
            raise refusal(second_user, provider_name)
    if len(together) > MAX_LINKED_LOGINS:
        raise refusal(Situation.TOO_MANY_LINKED_LOGINS, identity.identity_id)


def _common_owner(presented: PresentedLogins, owners: Mapping[Login, Identity]) -> Identity | None:
    found = {owner.identity_id: owner for owner in owners.values()}
    if len(found) > 1:
        apart = (
            Situation.DEVELOPER_USER_AND_PUBLIC_LOGIN_APART
            if presented.developer in owners
            else Situation.PUBLIC_LOGINS_APART
        )
        raise refusal(apart, presented.developer.provider_name)
    return next(iter(found.values()), None)


def _check_named(presented: PresentedLogins, owners: Mapping[Login, Identity], named: Identity) -> Identity:
    if named.disabled:
        raise refusal(Situation.NAMED_IDENTITY_DISABLED, named.identity_id)
    _check_owners(presented, owners, named)
    if presented.developer not in named.logins and not named.logins.intersection(presented.public):
        _check_association(presented.developer, named)
    return named


def _check_owners(presented: PresentedLogins, owners: Mapping[Login, Identity], named: Identity) -> None:
    elsewhere = {login for login, owner in owners.items() if owner.identity_id != named.identity_id}
    if presented.developer in elsewhere:
        situation = (
            Situation.DEVELOPER_USER_OF_ANOTHER_IDENTITY
            if named.logins
            else Situation.DEVELOPER_USER_OF_ANOTHER_IDENTITY_THAN_GUEST
        )
        raise refusal(situation, named.identity_id)
    if elsewhere:
        raise refusal(Situation.PUBLIC_LOGIN_OF_ANOTHER_IDENTITY, named.identity_id)


def _check_association(developer: Login, named: Identity) -> None:
    if any(login.provider_name == developer.provider_name for login in named.logins):
        check_allowed(Situation.NAMED_IDENTITY_HAS_OTHER_DEVELOPER_USERS, named.identity_id)
    elif named.logins:
        check_allowed(Situation.NAMED_IDENTITY_HAS_ONLY_PUBLIC_LOGINS_NOT_PRESENTED, named.identity_id)
