"""The identities of one pool, with the service's guarantees, but without a store."""

import uuid
from collections.abc import Mapping
from itertools import pairwise
from typing import TypeAlias

from tokend_client.errors import ErrorReason, Resource
from tokend_client.testing.failures import Refused

#: A provider name with a user.
Login: TypeAlias = tuple[str, str]

_MAX_LINKED_LOGINS = 20


class FakeIdentities:
    """Maps logins to identities. Not thread-safe. All rejections are raised as `Refused`.

    All other providers are public providers of the pool. Their logins are not verified: any value identifies a user.
    """

    def __init__(self, identity_pool_id: str, developer_provider_name: str) -> None:
        self._region = identity_pool_id.partition(":")[0]
        self._developer_provider_name = developer_provider_name
        self._logins: dict[str, set[Login]] = {}

    def register_or_retrieve(self, logins: Mapping[str, str], identity_id: str | None) -> str:
        """Returns the identity of the logins, the given one or a new one, and links all logins to it."""
        provider = self._developer_provider_name
        if provider not in logins:
            text = f"Logins must contain the developer provider of this identity pool, {provider}."
            raise Refused(ErrorReason.INVALID_PARAMETER, text)
        presented = set(logins.items())
        if identity_id is None:
            found = self._common(presented) or f"{self._region}:{uuid.uuid4()}"
        else:
            self._check_named(identity_id, (provider, logins[provider]), presented)
            found = identity_id
        self._link(found, presented)
        return found

    def identity_of(self, user: str) -> str:
        """Returns the identity of a user of the developer provider."""
        found = self._owner((self._developer_provider_name, user))
        if found is None:
            text = "Developer user not found in this identity pool."
            raise Refused(ErrorReason.RESOURCE_NOT_FOUND, text, resource=Resource("DeveloperUser", ""))
        return found

    def users_of(self, identity_id: str) -> list[str]:
        """Returns the users of the developer provider who share an identity, sorted."""
        logins = self._logins_of(identity_id)
        return sorted(user for provider, user in logins if provider == self._developer_provider_name)

    def merge(self, source: str, destination: str) -> str:
        """Moves all logins of the source user's identity to the destination user's, and returns its id."""
        given_up, kept = self.identity_of(source), self.identity_of(destination)
        if given_up != kept:
            self._link(kept, self._logins[given_up])
            self._logins[given_up] = set()
        return kept

    def unlink(self, identity_id: str, user: str) -> None:
        """Unlinks a user from an identity."""
        if user not in self.users_of(identity_id):
            self.identity_of(user)
            raise Refused(ErrorReason.RESOURCE_CONFLICT, "A login is already linked to another identity.")
        self._logins[identity_id].remove((self._developer_provider_name, user))

    def _common(self, presented: set[Login]) -> str | None:
        owners = {owner for login in presented if (owner := self._owner(login))}
        if len(owners) > 1:
            raise Refused(ErrorReason.RESOURCE_CONFLICT, "The logins are linked to different identities.")
        return next(iter(owners), None)

    def _check_named(self, identity_id: str, user: Login, presented: set[Login]) -> None:
        held = self._logins_of(identity_id)
        if not held:
            raise Refused(ErrorReason.NOT_AUTHORIZED, f"Access to Identity '{identity_id}' is forbidden.")
        elsewhere = {login for login in presented if self._owner(login) not in {None, identity_id}}
        if user in elsewhere:
            text = "This developer user identifier is already registered with Cognito."
            raise Refused(ErrorReason.DEVELOPER_USER_ALREADY_REGISTERED, text)
        if elsewhere:
            raise Refused(ErrorReason.RESOURCE_CONFLICT, "A login is already linked to another identity.")
        if not self.users_of(identity_id) and not held & presented:
            text = "Logins don't match. Please include at least one valid login for this identity or identity pool."
            raise Refused(ErrorReason.NOT_AUTHORIZED, text)

    def _link(self, identity_id: str, logins: set[Login]) -> None:
        together = self._logins.get(identity_id, set()) | logins
        public = sorted(provider for provider, _ in together if provider != self._developer_provider_name)
        for provider, following in pairwise(public):
            if provider == following:
                text = f"The identity is already linked to another user of {provider}."
                raise Refused(ErrorReason.RESOURCE_CONFLICT, text)
        if len(together) > _MAX_LINKED_LOGINS:
            text = f"An identity can have at most {_MAX_LINKED_LOGINS} linked logins."
            raise Refused(ErrorReason.LIMIT_EXCEEDED, text, quota_subject=identity_id)
        self._logins[identity_id] = together

    def _owner(self, login: Login) -> str | None:
        return next((identity_id for identity_id, logins in self._logins.items() if login in logins), None)

    def _logins_of(self, identity_id: str) -> set[Login]:
        if identity_id not in self._logins:
            text = f"Identity '{identity_id}' not found."
            raise Refused(ErrorReason.RESOURCE_NOT_FOUND, text, resource=Resource("Identity", identity_id))
        return self._logins[identity_id]
