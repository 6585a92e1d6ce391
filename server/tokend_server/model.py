"""The data types of the service: plain values, independent of transports and stores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn, TypeAlias

#: Whole seconds since the Unix epoch (RFC 7519, section 2).
NumericDate: TypeAlias = int

DEFAULT_TOKEN_DURATION = timedelta(seconds=900)

#: The caller's name where callers are not identified.
ANONYMOUS = "anonymous"

#: The maximum number of logins linked to one identity (Cognito's quota).
MAX_LINKED_LOGINS = 20

#: The maximum length in characters of a login in a call, and so of the user identifier that a backend sends in it.
MAX_LOGIN_LENGTH = 50_000


class Operation(StrEnum):
    """An operation on developer identities; its value is its name in Amazon Cognito's API and in the contract."""

    GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY = "GetOpenIdTokenForDeveloperIdentity"  # noqa: S105
    LOOKUP_DEVELOPER_IDENTITY = "LookupDeveloperIdentity"
    MERGE_DEVELOPER_IDENTITIES = "MergeDeveloperIdentities"
    UNLINK_DEVELOPER_IDENTITY = "UnlinkDeveloperIdentity"

    @property
    def is_read_only(self) -> bool:
        """Whether it never changes anything."""
        return self is Operation.LOOKUP_DEVELOPER_IDENTITY


class CognitoOperation(StrEnum):
    """An operation of Amazon Cognito's identity pools that is not in the contract; its value is its name there."""

    CREATE_IDENTITY_POOL = "CreateIdentityPool"
    DELETE_IDENTITIES = "DeleteIdentities"
    DELETE_IDENTITY_POOL = "DeleteIdentityPool"
    DESCRIBE_IDENTITY = "DescribeIdentity"
    DESCRIBE_IDENTITY_POOL = "DescribeIdentityPool"
    GET_CREDENTIALS_FOR_IDENTITY = "GetCredentialsForIdentity"
    GET_ID = "GetId"
    GET_IDENTITY_POOL_ROLES = "GetIdentityPoolRoles"
    GET_OPEN_ID_TOKEN = "GetOpenIdToken"  # noqa: S105 - a name
    GET_PRINCIPAL_TAG_ATTRIBUTE_MAP = "GetPrincipalTagAttributeMap"
    LIST_IDENTITIES = "ListIdentities"
    LIST_IDENTITY_POOLS = "ListIdentityPools"
    LIST_TAGS_FOR_RESOURCE = "ListTagsForResource"
    SET_IDENTITY_POOL_ROLES = "SetIdentityPoolRoles"
    SET_PRINCIPAL_TAG_ATTRIBUTE_MAP = "SetPrincipalTagAttributeMap"
    TAG_RESOURCE = "TagResource"
    UNLINK_IDENTITY = "UnlinkIdentity"
    UNTAG_RESOURCE = "UntagResource"
    UPDATE_IDENTITY_POOL = "UpdateIdentityPool"

    @property
    def is_read_only(self) -> bool:
        """Whether it never changes anything."""
        return self.startswith(("Describe", "List", "GetIdentityPoolRoles", "GetPrincipalTagAttributeMap"))

    @property
    def is_signed(self) -> bool:
        """Whether its requests are signed; the others are for users' own devices (`authtype` in AWS's model)."""
        return self not in {
            CognitoOperation.GET_CREDENTIALS_FOR_IDENTITY,
            CognitoOperation.GET_ID,
            CognitoOperation.GET_OPEN_ID_TOKEN,
            CognitoOperation.UNLINK_IDENTITY,
        }


class StsOperation(StrEnum):
    """An operation of AWS Security Token Service; its value is its name there. Its requests are not signed."""

    ASSUME_ROLE_WITH_WEB_IDENTITY = "AssumeRoleWithWebIdentity"


class Secret:
    """A text that must not be disclosed: a login value or a token.

    It compares and hashes like its text, and is printed, logged and formatted as `Secret(***)`.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Returns the text, for code that sends, stores or verifies it."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be serialized")


class TokenRequest(NamedTuple):
    """A request to register or retrieve an identity and to issue a token for it.

    Attributes:
        identity_pool_id: REGION:GUID.
        logins: For each provider name, the token or identifier of the user there.
        identity_id: The identity to link the logins to; None creates or finds one.
        principal_tags: Session tags for the token.
        token_duration: The validity of the token, in whole seconds.
        caller: The caller as the listener identified it; `anonymous` where callers are not identified.
    """

    identity_pool_id: str
    logins: Mapping[str, Secret]
    identity_id: str | None = None
    principal_tags: Mapping[str, str] = MappingProxyType({})
    token_duration: timedelta = DEFAULT_TOKEN_DURATION
    caller: str = ANONYMOUS


class IdentityOutcome(StrEnum):
    """What a call did to identities; the value is the metric label."""

    CREATED = "created"
    LINKED = "linked"
    RETRIEVED = "retrieved"
    MERGED = "merged"


class IssuedToken(NamedTuple):
    """A token and the identity that it is for.

    Attributes:
        identity_id: REGION:GUID.
        token: The JWT in compact form.
        expire_time: The token's `exp`.
        refresh_time: When to fetch the next token.
        algorithm: The JWS algorithm that signed it, such as RS512.
        key_id: The `kid` of the key that signed it, if it has one.
        outcome: Whether the identity was created, linked to or only retrieved; None if the engine does not know.
    """

    identity_id: str
    token: Secret
    expire_time: NumericDate
    refresh_time: NumericDate
    algorithm: str
    key_id: str | None
    outcome: IdentityOutcome | None


def pool_region(identity_pool_id: str) -> str:
    """Returns the Region of a pool: the first part of its id, REGION:GUID, and of the ids of its identities."""
    return identity_pool_id.partition(":")[0]


def refresh_time(issued_at: NumericDate, expire_time: NumericDate) -> NumericDate:
    """Returns the time to replace a token: after a third of its lifetime.

    Clients then survive an outage of half its lifetime; the rest is for their back-off and clock skew.
    """
    return issued_at + (expire_time - issued_at) // 3


class RegisteredIdentity(NamedTuple):
    """The identity that a device has registered or retrieved, and whether the call created or changed it."""

    identity_id: str
    outcome: IdentityOutcome


@dataclass(frozen=True, slots=True)
class WebIdentity:
    """The web identity of a user's device, as presented to AWS STS.

    Attributes:
        identity_id: REGION:GUID.
        token: A token of this service for the identity.
        claims: The claims of the token, which name its user, and further claims of the ID token that was presented.
        client_id: The audience of the provider's ID token, which is the application; empty if there is no ID token, as
            when the token itself was presented.
    """

    identity_id: str
    token: Secret
    claims: Mapping[str, Any] = field(repr=False)
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class TemporaryCredentials:
    """Temporary AWS credentials; `expire_time` is in seconds since the Unix epoch."""

    access_key_id: str
    secret_key: Secret
    session_token: Secret
    expire_time: NumericDate


@dataclass(frozen=True, slots=True)
class LookupRequest:
    """A request to find an identity by its user, or users by their identity; at least one of them is given.

    `caller` is the same as in `TokenRequest`.
    """

    identity_pool_id: str
    identity_id: str | None = None
    developer_user_identifier: Secret | None = None
    max_results: int = 60
    next_token: str | None = None
    caller: str = ANONYMOUS


@dataclass(frozen=True, slots=True)
class DeveloperIdentity:
    """An identity with a page of its users of the developer provider; `next_token` requests the next page."""

    identity_id: str
    developer_user_identifiers: tuple[Secret, ...]
    next_token: str | None = None


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """A request to move all logins of one user's identity to another user's identity."""

    identity_pool_id: str
    developer_provider_name: str
    source_user_identifier: Secret
    destination_user_identifier: Secret


@dataclass(frozen=True, slots=True)
class UnlinkRequest:
    """A request to unlink a developer user from an identity."""

    identity_pool_id: str
    identity_id: str
    developer_provider_name: str
    developer_user_identifier: Secret


@dataclass(frozen=True, slots=True)
class Login:
    """A user of a provider: a developer user identifier, or the verified subject of a public login."""

    provider_name: str
    user_identifier: Secret


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity of a pool as it stands in the store.

    Attributes:
        identity_id: REGION:GUID.
        identity_pool_id: The pool that it belongs to; it never changes.
        creation_date: When it was created.
        last_modified_date: When its logins or its state last changed.
        logins: The logins linked to it; empty for a guest or a disabled identity.
        disabled: Whether it lost its logins by a merge or by unlinking, and cannot be used again.
        revision: The number of its changes, which detects a change based on an outdated read.
    """

    identity_id: str
    identity_pool_id: str
    creation_date: NumericDate
    last_modified_date: NumericDate
    logins: frozenset[Login] = frozenset()
    disabled: bool = False
    revision: int = 0


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A request for a page of a pool's identities; `next_token` is from the previous page."""

    identity_pool_id: str
    max_results: int
    next_token: str | None = None
    hide_disabled: bool = False


@dataclass(frozen=True, slots=True)
class IdentityPage:
    """Identities of a pool, ordered by id; `next_token` requests the next page."""

    identities: tuple[Identity, ...]
    next_token: str | None = None


class IdentityPool(NamedTuple):
    """An identity pool as Cognito's own API represents it.

    Attributes:
        identity_pool_id: REGION:GUID.
        settings: The members of `IdentityPool` in AWS's model of the service, except the id and the tags.
        tags: Its tags.
        roles: The members `Roles` and `RoleMappings` of SetIdentityPoolRoles that were given.
        principal_tags: The members `UseDefaults` and `PrincipalTags` of SetPrincipalTagAttributeMap that were given, by
            the name of the identity provider.
    """

    identity_pool_id: str
    settings: Mapping[str, Any]
    tags: Mapping[str, str] = MappingProxyType({})
    roles: Mapping[str, Any] = MappingProxyType({})
    principal_tags: Mapping[str, Mapping[str, Any]] = MappingProxyType({})

    @property
    def name(self) -> str:
        """Its name, which need not be unique."""
        name: str = self.settings["IdentityPoolName"]
        return name


@dataclass(frozen=True, slots=True)
class KeySet:
    """The public keys that verifiers may need, ready to be served.

    Attributes:
        jwks: The JWK Set (RFC 7517, section 5) as JSON.
        max_age: How long a verifier may cache it.
        key_ids: The `kid` of each key in it.
    """

    jwks: bytes
    max_age: timedelta
    key_ids: frozenset[str] = frozenset()


#: Records that a key set was sent to an address, with the user agent of its request. Returns at once.
NoteFetch: TypeAlias = Callable[[KeySet, str, bytes], None]
