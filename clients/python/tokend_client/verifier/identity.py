"""Who sent the token."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

_CURRENT: ContextVar["VerifiedIdentity"] = ContextVar("tokend_identity")


@dataclass(frozen=True, slots=True)
class VerifiedIdentity:
    """What a verified token says.

    Attributes:
        identity_id: Who the user is (`sub`).
        identity_pool_id: The pool of the identity (`aud`).
        principal_tags: The tags that were asked for with the token, by name.
        issue_time: When the token was signed (`iat`), in UTC.
        expire_time: When it ends (`exp`), in UTC.
        claims: All claims. `amr` among them names the user's logins, and so does not show in the representation.
    """

    identity_id: str
    identity_pool_id: str
    principal_tags: Mapping[str, str]
    issue_time: datetime
    expire_time: datetime
    claims: Mapping[str, Any] = field(repr=False)


def current_identity() -> VerifiedIdentity:
    """The identity of the call or request that is served now.

    Raises:
        LookupError: None is served, or one that is open to callers without a token.
    """
    return _CURRENT.get()


@contextmanager
def serving(identity: VerifiedIdentity) -> Iterator[None]:
    """Makes an identity the current one."""
    before = _CURRENT.set(identity)
    try:
        yield
    finally:
        _CURRENT.reset(before)


def serve_from_here(identity: VerifiedIdentity) -> None:
    """Makes an identity the current one until the task or the context ends."""
    _CURRENT.set(identity)
