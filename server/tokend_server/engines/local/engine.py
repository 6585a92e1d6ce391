"""The local engine: Cognito's developer identities in tokend's own store, with tokens of tokend's own issuer.

Each operation uses optimistic concurrency: it reads a consistent snapshot from the store, decides on that alone, and
commits a change, which the store refuses if the data has changed since it was read. The operation then starts again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from tokend_server.clock import Clock, Deadline
from tokend_server.engine import NewIdentity
from tokend_server.engines.local.claims import authentication_methods, tags_claim, token_claims
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.logins import split_logins
from tokend_server.engines.local.outcomes import Situation, refusal
from tokend_server.engines.local.paging import page_of_users
from tokend_server.engines.local.pool import LocalPool
from tokend_server.engines.local.resolution import PresentedLogins, check_linkable, resolve, settled_identity
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.store import Change, IdentityStore, Reading
from tokend_server.errors import EngineUnavailable, ResourceConflict, ResourceNotFound
from tokend_server.model import (
    DeveloperIdentity,
    Identity,
    IdentityOutcome,
    IssuedToken,
    Login,
    LookupRequest,
    MergeRequest,
    Secret,
    TokenRequest,
    UnlinkRequest,
    refresh_time,
)

#: The number of attempts of an operation before it fails. Each failed attempt means that another one has succeeded.
MAX_ATTEMPTS = 20

_Result = TypeVar("_Result")


class LocalEngine:
    """The `Engine` of one pool.

    Args:
        pool: The pool.
        store: The store of its identities.
        signer: Signs its tokens.
        clock: The clock.
        new_guid: Generates the GUID of a new identity id.
        new_identity: Is entered while an identity is created, and counts it.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all its parts
        self,
        pool: LocalPool,
        store: IdentityStore,
        signer: TokenSigner,
        clock: Clock,
        new_guid: Callable[[], str],
        new_identity: NewIdentity,
    ) -> None:
        self._pool = pool
        self._store = store
        self._signer = signer
        self._clock = clock
        self._new_guid = new_guid
        self._new_identity = new_identity

    def get_open_id_token_for_developer_identity(self, request: TokenRequest, deadline: Deadline) -> IssuedToken:
        presented = self._verify_logins(request, deadline)
        deadline.check()
        owner_ids = self._store.owners(self._pool.identity_pool_id, presented.all, deadline)
        if settled := settled_identity(owner_ids, request.identity_id):
            identity_id, outcome = settled, IdentityOutcome.RETRIEVED
        else:
            identity_id, outcome = self._resolve(presented, owner_ids, request, deadline)
        deadline.check()
        return self._issue(request, presented, identity_id, outcome, deadline)

    def lookup_developer_identity(self, request: LookupRequest, deadline: Deadline) -> DeveloperIdentity:
        deadline.check()
        identity = self._look_up(request, deadline)
        if request.identity_id and request.developer_user_identifier:
            return _checked_pair(identity, self._developer_login(request.developer_user_identifier))
        users = [login for login in identity.logins if login.provider_name == self._pool.developer_provider_name]
        page, next_token = page_of_users(identity, users, request.max_results, request.next_token)
        return DeveloperIdentity(identity.identity_id, page, next_token)

    def merge_developer_identities(self, request: MergeRequest, deadline: Deadline) -> str:
        self._check_developer_provider(request.developer_provider_name)
        source = self._developer_login(request.source_user_identifier)
        destination = self._developer_login(request.destination_user_identifier)
        return until_committed(lambda: self._merge(source, destination, deadline), deadline)

    def unlink_developer_identity(self, request: UnlinkRequest, deadline: Deadline) -> None:
        self._check_developer_provider(request.developer_provider_name)
        user = self._developer_login(request.developer_user_identifier)
        until_committed(lambda: self._unlink(request.identity_id, user, deadline), deadline)

    def _verify_logins(self, request: TokenRequest, deadline: Deadline) -> PresentedLogins:
        user_identifier, public_tokens = split_logins(self._pool, request.logins)
        developer = self._developer_login(user_identifier)
        if not public_tokens:
            return PresentedLogins(developer)
        public = (
            Login(name, self._pool.login_providers[name].verify(token, deadline).subject)
            for name, token in public_tokens.items()
        )
        return PresentedLogins(developer, tuple(public))

    def _resolve(
        self,
        presented: PresentedLogins,
        owner_ids: Sequence[str | None],
        request: TokenRequest,
        deadline: Deadline,
    ) -> tuple[str, IdentityOutcome]:
        pool_id, named_id = self._pool.identity_pool_id, request.identity_id
        # If no login has an owner and the request names no identity, the result of the read is known to be empty.
        readings = [] if named_id or any(owner_ids) else [Reading({}, None)]

        def attempt() -> tuple[str, IdentityOutcome]:
            reading = readings.pop() if readings else self._store.read(pool_id, presented.all, named_id, deadline)
            return self._commit(presented, reading, request, deadline)

        return until_committed(attempt, deadline)

    def _commit(
        self, presented: PresentedLogins, reading: Reading, request: TokenRequest, deadline: Deadline
    ) -> tuple[str, IdentityOutcome]:
        logins, named_id = presented.all, request.identity_id
        identity = resolve(presented, reading.owners, _named(reading, named_id) if named_id else None)
        if identity is None:
            with self._new_identity(request.caller):
                return self._create(presented, deadline), IdentityOutcome.CREATED
        if identity.logins.issuperset(logins):
            return identity.identity_id, IdentityOutcome.RETRIEVED
        linked = replace(identity, logins=identity.logins.union(presented.all), last_modified_date=self._now())
        self._store.commit(Change(identity, linked), deadline=deadline)
        return identity.identity_id, IdentityOutcome.LINKED

    def _create(self, presented: PresentedLogins, deadline: Deadline) -> str:
        now = self._now()
        identity = Identity(
            identity_id=f"{self._pool.region}:{self._new_guid()}",
            identity_pool_id=self._pool.identity_pool_id,
            creation_date=now,
            last_modified_date=now,
            logins=frozenset(presented.all),
        )
        self._store.commit(Change(None, identity), deadline=deadline)
        return identity.identity_id

    def _issue(
        self,
        request: TokenRequest,
        presented: PresentedLogins,
        identity_id: str,
        outcome: IdentityOutcome,
        deadline: Deadline,
    ) -> IssuedToken:
        issued_at = self._now()
        expire_time = issued_at + int(request.token_duration.total_seconds())
        methods = authentication_methods(self._pool, presented)
        tags = tags_claim(request.principal_tags) if request.principal_tags else None
        claims = token_claims(self._pool, identity_id, methods, tags, (issued_at, expire_time))
        return issue_token(self._pool, self._signer, claims, outcome, deadline)

    def _merge(self, source_user: Login, destination_user: Login, deadline: Deadline) -> str:
        reading = self._store.read(self._pool.identity_pool_id, (source_user, destination_user), deadline=deadline)
        source, destination = _owner(reading, source_user), _owner(reading, destination_user)
        if source.identity_id == destination.identity_id:
            return destination.identity_id
        situation = Situation.MERGE_OF_TWO_USERS_OF_PUBLIC_PROVIDER
        check_linkable(destination, source.logins, self._pool.developer_provider_name, situation)
        now = self._now()
        self._store.commit(
            Change(source, replace(source, logins=frozenset(), disabled=True, last_modified_date=now)),
            Change(
                destination, replace(destination, logins=destination.logins | source.logins, last_modified_date=now)
            ),
            deadline=deadline,
        )
        return destination.identity_id

    def _unlink(self, identity_id: str, user: Login, deadline: Deadline) -> None:
        reading = self._store.read(self._pool.identity_pool_id, (user,), identity_id, deadline)
        identity = _named(reading, identity_id)
        if user not in identity.logins:
            if user in reading.owners:
                raise refusal(Situation.UNLINKED_USER_OF_ANOTHER_IDENTITY, identity_id)
            raise ResourceNotFound.developer_user()
        remaining = identity.logins - {user}
        unlinked = replace(identity, logins=remaining, disabled=not remaining, last_modified_date=self._now())
        self._store.commit(Change(identity, unlinked), deadline=deadline)

    def _look_up(self, request: LookupRequest, deadline: Deadline) -> Identity:
        if request.identity_id:
            reading = self._store.read(self._pool.identity_pool_id, (), request.identity_id, deadline)
            return _named(reading, request.identity_id)
        if request.developer_user_identifier is None:
            raise refusal(Situation.LOOKUP_OF_NOTHING, "")
        user = self._developer_login(request.developer_user_identifier)
        return _owner(self._store.read(self._pool.identity_pool_id, (user,), deadline=deadline), user)

    def _check_developer_provider(self, developer_provider_name: str) -> None:
        if developer_provider_name != self._pool.developer_provider_name:
            raise refusal(Situation.DEVELOPER_PROVIDER_UNSUPPORTED, developer_provider_name)

    def _developer_login(self, user_identifier: Secret) -> Login:
        return Login(self._pool.developer_provider_name, user_identifier)

    def _now(self) -> int:
        return int(self._clock.now())


def _owner(reading: Reading, user: Login) -> Identity:
    owner = reading.owners.get(user)
    if owner is None:
        raise ResourceNotFound.developer_user()
    return owner


def _named(reading: Reading, identity_id: str) -> Identity:
    if reading.named is None:
        raise refusal(Situation.NAMED_IDENTITY_UNKNOWN, identity_id)
    return reading.named


def _checked_pair(identity: Identity, user: Login) -> DeveloperIdentity:
    if user not in identity.logins:
        raise ResourceConflict("The identity and the developer user do not belong together.")
    return DeveloperIdentity(identity.identity_id, (user.user_identifier,))


def issue_token(
    pool: LocalPool, signer: TokenSigner, claims: Mapping[str, Any], outcome: IdentityOutcome, deadline: Deadline
) -> IssuedToken:
    """Signs claims that `token_claims` has made; raises as `TokenSigner.sign`."""
    signed = signer.sign(claims, pool.signing_algorithm, pool.token_type, deadline)
    return IssuedToken(
        identity_id=claims["sub"],
        token=signed.token,
        expire_time=claims["exp"],
        refresh_time=refresh_time(claims["iat"], claims["exp"]),
        algorithm=pool.signing_algorithm,
        key_id=signed.key_id,
        outcome=outcome,
    )


def until_committed(attempt: Callable[[], _Result], deadline: Deadline) -> _Result:
    """Repeats an attempt until the data that it has read is unchanged at its commit, and returns its result.

    Raises:
        DeadlineExceeded: The deadline passed before an attempt succeeded.
        EngineUnavailable: Too many other calls change the same data.
    """
    for _ in range(MAX_ATTEMPTS):
        deadline.check()
        try:
            return attempt()
        except StaleReading:
            continue
    raise EngineUnavailable("The identity is being changed by too many calls at once.")
