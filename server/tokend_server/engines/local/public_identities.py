"""The operations of users' own devices: GetId, GetOpenIdToken, UnlinkIdentity, and web identities for credentials."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tokend_server.clock import Clock, Deadline
from tokend_server.engine import NewIdentity
from tokend_server.engines.local.claims import TAGS, public_methods, tags_claim, token_claims
from tokend_server.engines.local.engine import issue_token, until_committed
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.logins import check_public_logins
from tokend_server.engines.local.outcomes import Situation, refusal
from tokend_server.engines.local.own_tokens import OwnTokens
from tokend_server.engines.local.pool import LocalPool
from tokend_server.engines.local.principal_tags import tags_of
from tokend_server.engines.local.providers import COGNITO_IDENTITY, ProviderUser
from tokend_server.engines.local.public_resolution import (
    Access,
    access_by_logins,
    check_enabled,
    check_guest,
    identity_of,
)
from tokend_server.engines.local.store import Change, IdentityStore
from tokend_server.errors import ResourceNotFound
from tokend_server.model import (
    Identity,
    IdentityOutcome,
    IssuedToken,
    Login,
    RegisteredIdentity,
    Secret,
    WebIdentity,
)

#: Seconds for which a token of GetOpenIdToken is valid.
_SECONDS = 600

#: Later than any token expires.
_LAST = 2**63


@dataclass(frozen=True, slots=True)
class _VerifiedLogins:
    """The verified logins of a call.

    Attributes:
        users: Users of public providers, by Logins key.
        token: A presented token of this service, and its claims.
    """

    users: Mapping[str, ProviderUser] = field(default_factory=dict)
    token: tuple[Secret, Mapping[str, Any]] | None = None

    @property
    def logins(self) -> tuple[Login, ...]:
        """The users as logins, sorted by provider."""
        return _logins_of(self.users)

    @property
    def claims(self) -> Mapping[str, Any]:
        """The claims of the users' tokens without principal tags; if several have a claim, the first one applies."""
        items = (each for user in reversed([*self.users.values()]) for each in user.claims.items())
        # Users' tags are defined by the pool's map, not by providers.
        return {name: claim for name, claim in items if name != TAGS}

    @property
    def client_id(self) -> str:
        """The client id at the first provider, which is the one in `amr`; empty if there is none."""
        audiences = (user.claims.get("aud") for user in self.users.values())
        audience = next(audiences, None)
        return audience if isinstance(audience, str) else ""


def _logins_of(users: Mapping[str, ProviderUser]) -> tuple[Login, ...]:
    return tuple(Login(name, user.subject) for name, user in users.items())


class PublicIdentities:
    """The `PublicEngine` of one pool.

    Args:
        pool: The pool.
        store: The store of its identities.
        signer: Signs its tokens.
        own_tokens: Verifies its tokens when they are presented as logins.
        clock: The clock.
        new_guid: Generates the GUID of a new identity id.
        new_identity: Is entered while an identity is created, and counts it.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all its parts
        self,
        pool: LocalPool,
        store: IdentityStore,
        signer: TokenSigner,
        own_tokens: OwnTokens,
        clock: Clock,
        new_guid: Callable[[], str],
        new_identity: NewIdentity,
    ) -> None:
        self._pool = pool
        self._store = store
        self._signer = signer
        self._own_tokens = own_tokens
        self._clock = clock
        self._new_guid = new_guid
        self._new_identity = new_identity

    def get_id(self, logins: Mapping[str, Secret], caller: str, deadline: Deadline) -> RegisteredIdentity:
        if COGNITO_IDENTITY in logins:
            raise refusal(Situation.COGNITO_TOKEN_AS_LOGIN, COGNITO_IDENTITY)
        users = _logins_of(self._users(logins, deadline))
        if not users and not self._pool.allow_unauthenticated_identities:
            raise refusal(Situation.GUESTS_NOT_ALLOWED, self._pool.identity_pool_id)
        return until_committed(lambda: self._register(users, caller, deadline), deadline)

    def get_open_id_token(self, identity_id: str, logins: Mapping[str, Secret], deadline: Deadline) -> IssuedToken:
        if not self._pool.allow_classic_flow:
            raise refusal(Situation.CLASSIC_FLOW_NOT_ENABLED, self._pool.identity_pool_id)
        verified = self._verify_logins(identity_id, logins, deadline)
        return self._issue(self._authorize(identity_id, verified, deadline), verified, deadline)[0]

    def web_identity(self, identity_id: str, logins: Mapping[str, Secret], deadline: Deadline) -> WebIdentity:
        verified = self._verify_logins(identity_id, logins, deadline)
        registered = self._authorize(identity_id, verified, deadline)
        if verified.token:
            return WebIdentity(identity_id, *verified.token)
        issued, claims = self._issue(registered, verified, deadline)
        return WebIdentity(issued.identity_id, issued.token, {**verified.claims, **claims}, verified.client_id)

    def unlink_identity(
        self, identity_id: str, logins: Mapping[str, Secret], provider_names: Collection[str], deadline: Deadline
    ) -> None:
        if not logins:
            raise refusal(Situation.LOGINS_OF_NO_USE, identity_id)
        for name in provider_names:
            if name in {self._pool.developer_provider_name, COGNITO_IDENTITY}:
                raise refusal(Situation.PROVIDER_NOT_PUBLIC, name)
        verified = self._verify_logins(identity_id, logins, deadline)
        until_committed(lambda: self._unlink(identity_id, verified, frozenset(provider_names), deadline), deadline)

    def _verify_logins(self, identity_id: str, logins: Mapping[str, Secret], deadline: Deadline) -> _VerifiedLogins:
        """Verifies logins, all of which must be valid.

        Raises:
            InvalidParameter: A login is of an unsupported provider.
            NotAuthorized: A login does not verify.
            LoginProviderUnavailable: A login cannot be verified now.
        """
        token = logins.get(COGNITO_IDENTITY)
        if token is None:
            return _VerifiedLogins(self._users(logins, deadline))
        if len(logins) > 1:
            raise refusal(Situation.OWN_TOKEN_WITH_OTHER_LOGINS, identity_id)
        claims = self._own_tokens.verify(token, self._pool.identity_pool_id, identity_id, deadline)
        return _VerifiedLogins(token=(token, claims))

    def _users(self, logins: Mapping[str, Secret], deadline: Deadline) -> Mapping[str, ProviderUser]:
        tokens = check_public_logins(self._pool, logins)
        return {name: self._pool.login_providers[name].verify(token, deadline) for name, token in tokens.items()}

    def _register(self, users: Sequence[Login], caller: str, deadline: Deadline) -> RegisteredIdentity:
        reading = self._store.read(self._pool.identity_pool_id, users, deadline=deadline) if users else None
        owners = reading.owners if reading else {}
        identity = identity_of(users, owners, self._pool.developer_provider_name)
        if identity is not None:
            return self._link(Access(identity), users, deadline)
        with self._new_identity(caller):
            now = self._now()
            new_id = f"{self._pool.region}:{self._new_guid()}"
            new = Identity(new_id, self._pool.identity_pool_id, now, now, frozenset(users))
            self._store.commit(Change(None, new), deadline=deadline)
        return RegisteredIdentity(new_id, IdentityOutcome.CREATED)

    def _authorize(self, identity_id: str, verified: _VerifiedLogins, deadline: Deadline) -> RegisteredIdentity:
        """Returns the identity to which the verified logins give access, after linking them to it.

        Raises:
            ResourceNotFound: The pool has no identity of the id.
            NotAuthorized: The logins give no access to it.
            ResourceConflict: The logins belong to different identities.
        """

        def attempt() -> RegisteredIdentity:
            identity, owners = self._read(identity_id, verified.logins, deadline)
            if verified.token:
                check_enabled(identity)
            elif not verified.logins:
                check_guest(identity, guests=self._pool.allow_unauthenticated_identities)
            else:
                access = access_by_logins(identity, verified.logins, owners, self._pool.developer_provider_name)
                return self._link(access, verified.logins, deadline)
            return RegisteredIdentity(identity_id, IdentityOutcome.RETRIEVED)

        return until_committed(attempt, deadline)

    def _link(self, access: Access, users: Sequence[Login], deadline: Deadline) -> RegisteredIdentity:
        identity, now = access.identity, self._now()
        linked = replace(identity, logins=identity.logins.union(users), last_modified_date=now)
        changes = [Change(identity, linked)] if linked.logins != identity.logins else []
        outcome = IdentityOutcome.LINKED if changes else IdentityOutcome.RETRIEVED
        if guest := access.disables:
            changes.append(Change(guest, replace(guest, disabled=True, last_modified_date=now)))
            outcome = IdentityOutcome.MERGED
        if changes:
            self._store.commit(*changes, deadline=deadline)
        return RegisteredIdentity(identity.identity_id, outcome)

    def _issue(
        self, registered: RegisteredIdentity, verified: _VerifiedLogins, deadline: Deadline
    ) -> tuple[IssuedToken, Mapping[str, Any]]:
        deadline.check()
        issued_at, shown = self._now(), verified.token[1] if verified.token else {}
        # A token issued for a token of this service expires with it: otherwise it could be renewed indefinitely.
        expire_time = min(issued_at + _SECONDS, int(shown.get("exp", _LAST)))
        methods = shown.get("amr") or public_methods(self._pool, verified.logins)
        tags = shown.get(TAGS) or self._tags(verified)
        claims = token_claims(self._pool, registered.identity_id, methods, tags, (issued_at, expire_time))
        return issue_token(self._pool, self._signer, claims, registered.outcome, deadline), claims

    def _tags(self, verified: _VerifiedLogins) -> Mapping[str, Any] | None:
        tags = tags_of(self._pool.tag_maps, ((name, user.claims) for name, user in verified.users.items()))
        return tags_claim(tags) if tags else None

    def _unlink(
        self, identity_id: str, verified: _VerifiedLogins, provider_names: frozenset[str], deadline: Deadline
    ) -> None:
        identity, _owners = self._read(identity_id, (), deadline)
        check_enabled(identity)
        if not verified.token and identity.logins.isdisjoint(verified.logins):
            raise refusal(Situation.LOGINS_OF_NO_USE, identity_id)
        remaining = frozenset(login for login in identity.logins if login.provider_name not in provider_names)
        if remaining == identity.logins:
            return
        unlinked = replace(identity, logins=remaining, disabled=not remaining, last_modified_date=self._now())
        self._store.commit(Change(identity, unlinked), deadline=deadline)

    def _read(
        self, identity_id: str, logins: Collection[Login], deadline: Deadline
    ) -> tuple[Identity, Mapping[Login, Identity]]:
        reading = self._store.read(self._pool.identity_pool_id, logins, identity_id, deadline)
        if reading.named is None:
            raise ResourceNotFound.identity(identity_id)
        return reading.named, reading.owners

    def _now(self) -> int:
        return int(self._clock.now())
