"""The identity of the caller."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

_CURRENT: ContextVar["VerifiedIdentity"] = ContextVar("tokend_identity")


@dataclass(frozen=True, slots=True)
class VerifiedIdentity:
    """The identity of a verified token.

    Attributes:
        identity_id: The user's identity id (`sub`).
        identity_pool_id: The pool of the identity (`aud`).
        principal_tags: The tags that were requested with the token, by name.
        issue_time: When the token was signed (`iat`), in UTC.
        expire_time: When the token expires (`exp`), in UTC.
        claims: All claims. The representation does not show them, since `amr` contains the user's login.
    """

    identity_id: str
    identity_pool_id: str
    principal_tags: Mapping[str, str]
    issue_time: datetime
    expire_time: datetime
    claims: Mapping[str, Any] = field(repr=False)


def current_identity() -> VerifiedIdentity:
    """Returns the identity of the current call or request.

    Raises:
        LookupError: There is no current call or request, or it requires no token.
    """
    return _CURRENT.get()


@contextmanager
def use_identity(identity: VerifiedIdentity) -> Iterator[None]:
    """Sets the current identity for the duration of a `with` block."""
    before = _CURRENT.set(identity)
    try:
        yield
    finally:
        _CURRENT.reset(before)


def set_current_identity(identity: VerifiedIdentity) -> None:
    """Sets the current identity until the task or the context ends."""
    _CURRENT.set(identity)
