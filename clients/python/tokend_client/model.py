"""What is asked for and what is answered: frozen values that do not show secrets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Any

from tokend_client.request_key import digest


@dataclass(frozen=True, kw_only=True)
class TokenRequest:
    """A request to register or retrieve a user's identity, with a token for it.

    The limits of the fields are those of the contract, and the service checks them. Its representation shows no
    logins; when it is pickled, the pickle holds them.

    Attributes:
        identity_pool_id: REGION:GUID.
        logins: Provider names to the user's identifier or ID token there; never shown.
        identity_id: The identity to link the logins to; None creates or finds one.
        principal_tags: Session tags for the token.
        token_duration: How long the token is to be valid, in whole seconds; None leaves it to the service (900 s).
    """

    identity_pool_id: str
    logins: Mapping[str, str] = field(repr=False)
    identity_id: str | None = None
    principal_tags: Mapping[str, str] = field(default_factory=dict)
    token_duration: timedelta | None = None

    def __post_init__(self) -> None:
        for name in ("logins", "principal_tags"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[Callable[..., "TokenRequest"], tuple[Mapping[str, Any]]]:
        return _made, ({each.name: _plain(getattr(self, each.name)) for each in fields(self)},)

    @cached_property
    def key(self) -> bytes:
        """What a cache knows it by: the same for requests that are the same in all their fields."""
        return digest(getattr(self, each.name) for each in fields(self))


def _made(members: Mapping[str, Any]) -> TokenRequest:
    return TokenRequest(**members)


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


@dataclass(frozen=True, slots=True)
class Token:
    """A signed OpenID Connect token and the identity that it speaks for.

    Attributes:
        identity_id: REGION:GUID.
        value: The JWT in compact form; never shown.
        expire_time: Its `exp`, in UTC.
        refresh_time: When to fetch the next one, in UTC; never after `expire_time`.
        issue_time: The service's clock at its answer, in UTC, from which both times count; None from a service that
            does not tell.
    """

    identity_id: str
    value: str = field(repr=False)
    expire_time: datetime
    refresh_time: datetime
    issue_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class LookupResult:
    """An identity with a page of its users.

    Attributes:
        identity_id: REGION:GUID.
        developer_user_identifiers: Users of the pool's developer provider; never shown.
        next_token: Leads to the next page; None on the last one.
    """

    identity_id: str
    developer_user_identifiers: tuple[str, ...] = field(repr=False)
    next_token: str | None = None
