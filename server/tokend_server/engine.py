"""The port between the contract and the engines that implement it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

from tokend_server.clock import Deadline
from tokend_server.model import (
    DeveloperIdentity,
    Identity,
    IdentityPage,
    IdentityPool,
    IssuedToken,
    ListRequest,
    LookupRequest,
    MergeRequest,
    RegisteredIdentity,
    Secret,
    TemporaryCredentials,
    TokenRequest,
    UnlinkRequest,
    WebIdentity,
)

#: Takes one new identity from the quota of a caller, by its name, and returns it to the quota if the block fails.
#: Raises `TooManyRequests` if the caller has created too many.
NewIdentity: TypeAlias = Callable[[str], AbstractContextManager[object]]


#: Is called before a call changes anything. If it raises an error, the change is not made.
BeforeChange: TypeAlias = Callable[[], None]


def do_nothing() -> None:
    """A `BeforeChange` that does nothing."""


class Engine(Protocol):
    """Cognito's developer-identity operations for one identity pool.

    Every engine gives the same guarantees and fails in the same ways, with the errors of `tokend_server.errors`:

    * All changes that a returned value reports are durable before the call returns.
    * Requests are within the limits of the contract; an engine checks only what depends on its pool.
    * `deadline` bounds all work. An engine raises `DeadlineExceeded` rather than start work after it.
    * Any operation may raise `EngineUnavailable`, `TooManyRequests` and, until an operator acts, a `LastingError`.
    * Calls may come from many threads at once.

    Dates are wall-clock seconds since the Unix epoch.
    """

    def get_open_id_token_for_developer_identity(self, request: TokenRequest, deadline: Deadline) -> IssuedToken:
        """Registers or retrieves an identity and issues a token for it.

        Repeating a call gives the same identity. Concurrent first calls for one user agree on one identity.

        Raises:
            InvalidParameter: The developer login is missing, duplicated or of another provider; a login provider is not
                supported.
            NotAuthorized: A login token does not verify, the logins do not belong to the identity, or the identity
                is disabled.
            ResourceNotFound: The pool has no identity of the given id.
            ResourceConflict: Logins belong to different identities, or the identity has another user of a provider.
            DeveloperUserAlreadyRegistered: The developer user belongs to an identity other than the given one.
            LimitExceeded: The identity would hold too many logins.
            LoginProviderUnavailable: A login token cannot be verified now.
        """
        ...

    def lookup_developer_identity(self, request: LookupRequest, deadline: Deadline) -> DeveloperIdentity:
        """Finds an identity by its developer user, or the developer users of an identity.

        Raises:
            InvalidParameter: Neither is given, or this pool did not issue `next_token`.
            ResourceNotFound: There is no such identity or user.
            ResourceConflict: Both are given and do not belong together.
        """
        ...

    def merge_developer_identities(self, request: MergeRequest, deadline: Deadline) -> str:
        """Moves all logins of the source user's identity to the destination's, and disables the source identity.

        Returns:
            The destination's identity id, also when both users share it already.

        Raises:
            InvalidParameter: The developer provider is not the pool's.
            ResourceNotFound: One of the users does not exist.
            ResourceConflict: Both identities have a user of the same public provider.
            LimitExceeded: The merged identity would hold too many logins.
        """
        ...

    def unlink_developer_identity(self, request: UnlinkRequest, deadline: Deadline) -> None:
        """Unlinks a developer user; an identity that loses its last login is disabled.

        Raises:
            InvalidParameter: The developer provider is not the pool's.
            ResourceNotFound: There is no such identity, or the user is not linked to any.
            ResourceConflict: The user is linked to another identity.
        """
        ...


#: Finds the engine of a pool that is not in the configuration; returns None if there is no such pool.
FindEngine: TypeAlias = Callable[[str, Deadline], Engine | None]


class Identities(Protocol):
    """The identities of all pools of the local engine, for Cognito's operations that are not in the contract.

    The guarantees of `Engine` on durability, deadlines, errors and threads apply here too.
    """

    def find(self, identity_id: str, deadline: Deadline) -> Identity | None:
        """Returns the identity with this id in any pool that is served; None if there is none."""
        ...

    def list(self, request: ListRequest, deadline: Deadline) -> IdentityPage:
        """Returns a page of a pool's identities, ordered by id.

        Raises:
            ResourceNotFound: There is no such pool.
            UnsupportedByEngine: The pool is one of Cognito's.
            InvalidParameter: `next_token` was not issued for this pool and this `hide_disabled`.
        """
        ...

    def delete(self, identity: Identity, deadline: Deadline) -> None:
        """Deletes an identity permanently; its users then count as new. Does nothing if it does not exist."""
        ...


class PublicEngine(Protocol):
    """Cognito's operations for users' own devices, for one identity pool.

    Logins map the names of public providers to their tokens, or `cognito-identity.amazonaws.com` to a token that this
    service has issued. The guarantees of `Engine` on durability, deadlines, errors and threads apply here too. Every
    operation may raise:

        InvalidParameter: A key in the logins is not a public provider.
        NotAuthorized: A login token does not verify, the logins do not give access to the identity, it is disabled,
            or it is a guest of a pool without guests.
        ResourceNotFound: The pool has no identity of the given id.
        ResourceConflict: Logins belong to different identities, or the identity has another user of a provider.
        LimitExceeded: The identity would hold too many logins.
        LoginProviderUnavailable: A login token cannot be verified now.
    """

    def get_id(self, logins: Mapping[str, Secret], caller: str, deadline: Deadline) -> RegisteredIdentity:
        """Registers or retrieves the identity of logins; creates a guest if there are none.

        Args:
            logins: The logins.
            caller: The caller whose quota of new identities it counts against.
            deadline: As of all operations.

        Raises:
            TooManyRequests: The caller has created too many identities.
        """
        ...

    def get_open_id_token(self, identity_id: str, logins: Mapping[str, Secret], deadline: Deadline) -> IssuedToken:
        """Issues a token for an identity, valid for ten minutes, and no longer than a token presented for it.

        Logins that belong to no identity are linked to it. If the identity is a guest and the logins belong to another
        identity, the guest is disabled, and the token is for the other identity.

        Raises:
            InvalidParameter: The pool does not allow the classic flow.
        """
        ...

    def web_identity(self, identity_id: str, logins: Mapping[str, Secret], deadline: Deadline) -> WebIdentity:
        """As `get_open_id_token`, in every pool, for a token that assumes a role; a presented token is reused."""
        ...

    def unlink_identity(
        self, identity_id: str, logins: Mapping[str, Secret], provider_names: Collection[str], deadline: Deadline
    ) -> None:
        """Unlinks the users of public providers; an identity that loses its last login is disabled.

        Args:
            identity_id: The identity.
            logins: Logins that prove that the identity is the user's own.
            provider_names: The providers; those without a user in the identity are ignored.
            deadline: As of all operations.
        """
        ...


class CredentialSource(Protocol):
    """A source of temporary AWS credentials."""

    def credentials(
        self, web_identity: WebIdentity, role_arn: str, region: str, deadline: Deadline
    ) -> TemporaryCredentials:
        """Returns credentials of a role for the holder of a token.

        Args:
            web_identity: The token.
            role_arn: The role.
            region: The AWS Region of the identity's pool.
            deadline: How long to wait for them.

        Raises:
            InvalidIdentityPoolConfiguration: The role cannot be assumed with the token.
            NotAuthorized: The token has expired.
            InvalidParameter: AWS STS rejects some of the token's claims.
            LoginProviderUnavailable: AWS STS cannot fetch the keys of the token.
            TooManyRequests: AWS STS throttles.
            EngineUnavailable: AWS STS does not answer.
            LastingError: AWS STS does not answer until an operator acts.
        """
        ...


class IdentityPools(Protocol):
    """All identity pools, for Cognito's operations on them.

    The guarantees of `Engine` on durability, deadlines, errors and threads apply here too.
    """

    def describe(self, identity_pool_id: str, deadline: Deadline) -> IdentityPool:
        """Returns the pool with an id.

        Raises:
            ResourceNotFound: There is no such pool.
        """
        ...

    def list(self, region: str, max_results: int, after: str, deadline: Deadline) -> Sequence[IdentityPool]:
        """Returns up to `max_results` pools of an AWS Region, ordered by id, starting after the id `after`."""
        ...


class PoolManagement(Protocol):
    """Creates, changes and deletes pools that are not in the configuration.

    The guarantees of `Engine` on durability, deadlines, errors and threads apply here too.
    """

    def create(
        self, region: str, settings: Mapping[str, Any], tags: Mapping[str, str], deadline: Deadline
    ) -> IdentityPool:
        """Creates a pool in an AWS Region, with a new id.

        Raises:
            LimitExceeded: The maximum number of pools exists already.
        """
        ...

    def change(
        self, identity_pool_id: str, decide: Callable[[IdentityPool], IdentityPool], deadline: Deadline
    ) -> IdentityPool:
        """Changes a pool atomically, even while others change it.

        Args:
            identity_pool_id: The pool.
            decide: Returns the new state of the pool from its current state. If it raises, nothing changes.
            deadline: As of all operations.

        Raises:
            ResourceNotFound: There is no such pool.
            NotAuthorized: The pool is in the configuration.
        """
        ...

    def delete(self, identity_pool_id: str, deadline: Deadline) -> None:
        """Deletes a pool and its identities permanently.

        Raises:
            ResourceNotFound: There is no such pool.
            NotAuthorized: The pool is in the configuration.
        """
        ...


class Backend(Protocol):
    """A resource that the engines of several pools share, such as a store; it is checked once for all of them."""

    def check(self) -> Sequence[str]:
        """Checks that calls can be served now, at a cost that does not grow with the number of pools.

        Returns:
            The problems of single pools that cannot be served while others can: a few lines for operators.

        Raises:
            EngineUnavailable: No call can be served, for the reason in the text, which is for operators.
            LastingError: No call can be served in any process with the same configuration.
        """
        ...
