"""The identities of one pool, in small: what the service promises about them, without a store."""

import uuid
from collections.abc import Mapping
from typing import TypeAlias

from tokend_client.errors import ErrorReason, Resource
from tokend_client.testing.failures import Refused

#: A provider name with a user of it.
Login: TypeAlias = tuple[str, str]


class FakeIdentities:
    """Which login belongs to which identity; for one caller at a time. All refusals are raised as `Refused`.

    A login of a public provider is taken for its user, whatever it is: nothing is verified.
    """

    def __init__(self, identity_pool_id: str, developer_provider_name: str) -> None:
        self._region = identity_pool_id.partition(":")[0]
        self._developer_provider_name = developer_provider_name
        self._logins: dict[str, set[Login]] = {}

    def register_or_retrieve(self, logins: Mapping[str, str], identity_id: str | None) -> str:
        """The identity of the logins, the named one or a new one, with all of them linked to it."""
        if self._developer_provider_name not in logins:
            raise Refused(ErrorReason.INVALID_PARAMETER, "Logins must contain the developer provider of this pool.")
        if identity_id is not None and not self._logins_of(identity_id):
            raise Refused(ErrorReason.NOT_AUTHORIZED, f"Access to Identity '{identity_id}' is forbidden.")
        user = (self._developer_provider_name, logins[self._developer_provider_name])
        owners = {owner for login in logins.items() if (owner := self._owner(login))}
        found = identity_id or next(iter(owners), f"{self._region}:{uuid.uuid4()}")
        if owners - {found}:
            if identity_id is not None and self._owner(user) not in {None, identity_id}:
                text = "This developer user identifier is already registered with Cognito."
                raise Refused(ErrorReason.DEVELOPER_USER_ALREADY_REGISTERED, text)
            raise Refused(ErrorReason.RESOURCE_CONFLICT, "A login is already linked to another identity.")
        self._logins.setdefault(found, set()).update(logins.items())
        return found

    def identity_of(self, user: str) -> str:
        """The identity of a user of the developer provider."""
        found = self._owner((self._developer_provider_name, user))
        if found is None:
            text = "Developer user not found in this identity pool."
            raise Refused(ErrorReason.RESOURCE_NOT_FOUND, text, resource=Resource("DeveloperUser", ""))
        return found

    def users_of(self, identity_id: str) -> list[str]:
        """The users of the developer provider who share an identity, in order."""
        logins = self._logins_of(identity_id)
        return sorted(user for provider, user in logins if provider == self._developer_provider_name)

    def merge(self, source: str, destination: str) -> str:
        """Moves all logins of the source user's identity to the destination user's, and returns its id."""
        given_up, kept = self.identity_of(source), self.identity_of(destination)
        if given_up != kept:
            self._logins[kept] |= self._logins[given_up]
            self._logins[given_up] = set()
        return kept

    def unlink(self, identity_id: str, user: str) -> None:
        """Takes a user from an identity."""
        if user not in self.users_of(identity_id):
            self.identity_of(user)
            raise Refused(ErrorReason.RESOURCE_CONFLICT, "A login is already linked to another identity.")
        self._logins[identity_id].remove((self._developer_provider_name, user))

    def _owner(self, login: Login) -> str | None:
        return next((identity_id for identity_id, logins in self._logins.items() if login in logins), None)

    def _logins_of(self, identity_id: str) -> set[Login]:
        if identity_id not in self._logins:
            text = f"Identity '{identity_id}' not found."
            raise Refused(ErrorReason.RESOURCE_NOT_FOUND, text, resource=Resource("Identity", identity_id))
        return self._logins[identity_id]
