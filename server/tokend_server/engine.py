"""The port between the contract and what stands behind it."""

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

#: Holds the right of a caller, by its name, to create an identity, and takes it back if the block fails; raises
#: `TooManyRequests` where the caller has created too many.
NewIdentity: TypeAlias = Callable[[str], AbstractContextManager[object]]


#: Is called before something is changed that a call asks for; what it raises keeps the change from being made.
BeforeChange: TypeAlias = Callable[[], None]


def unannounced() -> None:
    """A `BeforeChange` that does nothing."""


class Engine(Protocol):
    """Cognito's developer-identity operations for one identity pool.

    Every engine gives the same guarantees and fails in the same ways, with the errors of `tokend_server.errors`:

    * What a returned value says has been made durable before the call returns.
    * Requests are within the limits of the contract; an engine checks what only its pool can know.
    * `deadline` bounds all work. An engine raises `DeadlineExceeded` rather than begin what no caller waits for.
    * Any operation may raise `EngineUnavailable`, `TooManyRequests` and, until an operator acts, a `LastingError`.
    * Calls may come from many threads at once.

    Dates are wall-clock seconds since the Unix epoch.
    """

    def get_open_id_token_for_developer_identity(self, request: TokenRequest, deadline: Deadline) -> IssuedToken:
        """Registers or retrieves an identity and issues a token for it.

        Repeating a call gives the same identity. Concurrent first calls for one user agree on one identity.

        Raises:
            InvalidParameter: The developer login is missing, doubled or of another provider; a login provider is not
                supported.
            NotAuthorized: A login token does not verify, the logins do not belong to the identity, or the identity
                is disabled.
            ResourceNotFound: The pool has no identity of the given id.
            ResourceConflict: Logins belong to different identities, or the identity has another user of a provider.
            DeveloperUserAlreadyRegistered: The developer user belongs to another identity than the given one.
            LimitExceeded: The identity would hold too many logins.
            LoginProviderUnavailable: A login token cannot be verified now.
        """
        ...

    def lookup_developer_identity(self, request: LookupRequest, deadline: Deadline) -> DeveloperIdentity:
        """Finds an identity by its developer user, or the developer users of an identity.

        Raises:
            InvalidParameter: Neither is given, or `next_token` is not one that this pool handed out.
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
            ResourceNotFound: One of the users is not known.
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


#: Finds the engine of a pool that the configuration does not have; None where there is no such pool.
FindEngine: TypeAlias = Callable[[str, Deadline], Engine | None]


class Identities(Protocol):
    """The identities of all pools of the local engine, for Cognito's operations on them beside the contract.

    What is said of `Engine` about durability, deadlines, errors and threads holds here too.
    """

    def find(self, identity_id: str, deadline: Deadline) -> Identity | None:
        """The identity of the id, whatever its pool; None when no pool that is served has it."""
        ...

    def list(self, request: ListRequest, deadline: Deadline) -> IdentityPage:
        """A page of a pool's identities, in order of their ids.

        Raises:
            ResourceNotFound: There is no such pool.
            UnsupportedByEngine: The pool is Cognito's.
            InvalidParameter: `next_token` was not handed out for this pool and with this `hide_disabled`.
        """
        ...

    def delete(self, identity: Identity, deadline: Deadline) -> None:
        """Removes an identity for good; its users are new ones from then on. One that is not there stays so."""
        ...


class PublicEngine(Protocol):
    """Cognito's operations for users' own devices, for one identity pool.

    Logins are names of public providers to their tokens, or `cognito-identity.amazonaws.com` to a token that this
    service has issued. What is said of `Engine` about durability, deadlines, errors and threads holds here too. Every
    operation may raise:

        InvalidParameter: A key among the logins is no public provider.
        NotAuthorized: A login token does not verify, the logins do not give access to the identity, it is disabled,
            or it is a guest of a pool without guests.
        ResourceNotFound: The pool has no identity of the given id.
        ResourceConflict: Logins belong to different identities, or the identity has another user of a provider.
        LimitExceeded: The identity would hold too many logins.
        LoginProviderUnavailable: A login token cannot be verified now.
    """

    def get_id(self, logins: Mapping[str, Secret], caller: str, deadline: Deadline) -> RegisteredIdentity:
        """Registers or retrieves the identity of logins; without any, it makes a guest.

        Args:
            logins: The logins.
            caller: Whose new identities are counted.
            deadline: As of all operations.

        Raises:
            TooManyRequests: The caller has created too many identities.
        """
        ...

    def get_open_id_token(self, identity_id: str, logins: Mapping[str, Secret], deadline: Deadline) -> IssuedToken:
        """Issues a token for an identity, valid for ten minutes, and no longer than one that was shown for it.

        Logins that no identity has are linked to it. A guest whose logins another identity has is disabled, and the
        token is that one's.

        Raises:
            InvalidParameter: The pool does not allow the classic flow.
        """
        ...

    def web_identity(self, identity_id: str, logins: Mapping[str, Secret], deadline: Deadline) -> WebIdentity:
        """As `get_open_id_token` in every pool, for whoever assumes a role with it; a token that was shown is taken."""
        ...

    def unlink_identity(
        self, identity_id: str, logins: Mapping[str, Secret], provider_names: Collection[str], deadline: Deadline
    ) -> None:
        """Unlinks the users of public providers; an identity that loses its last login is disabled.

        Args:
            identity_id: The identity.
            logins: What shows that it is the user's own.
            provider_names: The providers; one of which it has no user is passed over.
            deadline: As of all operations.
        """
        ...


class CredentialSource(Protocol):
    """Where temporary AWS credentials come from."""

    def credentials(
        self, web_identity: WebIdentity, role_arn: str, region: str, deadline: Deadline
    ) -> TemporaryCredentials:
        """Credentials of a role for the holder of a token.

        Args:
            web_identity: The token.
            role_arn: The role.
            region: The AWS Region of the identity's pool.
            deadline: How long to wait for them.

        Raises:
            InvalidIdentityPoolConfiguration: The role cannot be assumed with the token.
            NotAuthorized: The token has expired.
            InvalidParameter: AWS STS does not take all of what the token has.
            LoginProviderUnavailable: AWS STS cannot fetch the keys of the token.
            TooManyRequests: AWS STS throttles.
            EngineUnavailable: AWS STS does not answer.
            LastingError: It does not, until an operator acts.
        """
        ...


class IdentityPools(Protocol):
    """All identity pools, for Cognito's operations on them.

    What is said of `Engine` about durability, deadlines, errors and threads holds here too.
    """

    def describe(self, identity_pool_id: str, deadline: Deadline) -> IdentityPool:
        """The pool of an id.

        Raises:
            ResourceNotFound: There is none.
        """
        ...

    def list(self, region: str, most: int, after: str, deadline: Deadline) -> Sequence[IdentityPool]:
        """Up to `most` pools of an AWS Region in order of their ids, from the first one behind `after`."""
        ...


class PoolManagement(Protocol):
    """Makes, changes and deletes pools beside those of the configuration.

    What is said of `Engine` about durability, deadlines, errors and threads holds here too.
    """

    def create(
        self, region: str, settings: Mapping[str, Any], tags: Mapping[str, str], deadline: Deadline
    ) -> IdentityPool:
        """Makes a pool in an AWS Region, under an id of its own.

        Raises:
            LimitExceeded: There are as many as there may be.
        """
        ...

    def change(
        self, identity_pool_id: str, decide: Callable[[IdentityPool], IdentityPool], deadline: Deadline
    ) -> IdentityPool:
        """Changes a pool, whatever others change of it meanwhile.

        Args:
            identity_pool_id: The pool.
            decide: The pool as it is to be, of the pool as it is. What it raises changes nothing.
            deadline: Until when the caller waits.

        Raises:
            ResourceNotFound: There is no such pool.
            NotAuthorized: It is one of the configuration.
        """
        ...

    def delete(self, identity_pool_id: str, deadline: Deadline) -> None:
        """Deletes a pool, and its identities with it, for good.

        Raises:
            ResourceNotFound: There is no such pool.
            NotAuthorized: It is one of the configuration.
        """
        ...


class Backend(Protocol):
    """What engines of any number of pools share, such as a store: it is checked once for all of them."""

    def check(self) -> Sequence[str]:
        """Makes sure that calls could be served now, at a cost that does not grow with the number of pools.

        Returns:
            What keeps single pools from being served while others are: a few lines for operators.

        Raises:
            EngineUnavailable: No call could, for the reason in the text, which is for operators.
            LastingError: No call could, and in no process with the same configuration.
        """
        ...
