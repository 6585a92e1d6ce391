"""Requests and responses: frozen values whose representations show no secrets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from functools import cached_property
from types import MappingProxyType
from typing import Any

from tokend_client.request_key import digest


@dataclass(frozen=True, kw_only=True)
class TokenRequest:
    """A request to register or retrieve a user's identity, and to get a token for it.

    The service checks the limits of the fields, as in the contract. The representation shows no logins, but a pickle
    contains them.

    Attributes:
        identity_pool_id: REGION:GUID.
        logins: Provider names to the user's identifier or ID token there; never shown.
        identity_id: The identity to link the logins to; None finds or creates one.
        principal_tags: Session tags for the token.
        token_duration: The lifetime of the token, in whole seconds; None for the service's default (900 s).
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
        """Returns the key for caches. Requests have the same key if all their fields are equal."""
        return digest(getattr(self, each.name) for each in fields(self))


def _made(members: Mapping[str, Any]) -> TokenRequest:
    return TokenRequest(**members)


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


@dataclass(frozen=True, slots=True)
class Token:
    """A signed OpenID Connect token and its identity.

    Attributes:
        identity_id: REGION:GUID.
        value: The JWT in compact form; never shown.
        expire_time: Its `exp`, in UTC.
        refresh_time: When to fetch the next one, in UTC; never after `expire_time`.
        issue_time: The service's clock at its response, in UTC: both other times are relative to it; None if the
            service does not send it.
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
        next_token: Requests the next page; None on the last one.
    """

    identity_id: str
    developer_user_identifiers: tuple[str, ...] = field(repr=False)
    next_token: str | None = None
