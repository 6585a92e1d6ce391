"""The token in a file, and its lifetime."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tokend_client.clock import Clock
from tokend_client.model import Token


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token in a file, with its times by this machine's clocks.

    Its age is measured by both clocks, as in `tokend_client.policy.Held`, so that a clock that is set back does not
    make it younger.

    Attributes:
        expire_time: When it expires, by the clock of the issuer.
        life: Seconds until its expiry at its arrival.
        arrived_at: When it arrived, in seconds since the Unix epoch.
        arrived_monotonic: The same moment on the monotonic clock.
    """

    expire_time: datetime
    life: float
    arrived_at: float
    arrived_monotonic: float

    def remaining(self, clock: Clock) -> float:
        """Returns the seconds until it expires; negative afterwards."""
        return self.life - max(clock.now() - self.arrived_at, clock.monotonic() - self.arrived_monotonic)


def from_service(token: Token, clock: Clock) -> StoredToken:
    """Returns the value for a token that has just arrived."""
    now = clock.now()
    issued_at = token.issue_time.timestamp() if token.issue_time else now
    return StoredToken(token.expire_time, token.expire_time.timestamp() - issued_at, now, clock.monotonic())


def from_file(content: bytes, clock: Clock) -> StoredToken | None:
    """Returns the token in a file, in either format, with its times; None if there is none.

    Its signature is not verified, since it only decides how long the file is kept.
    """
    expires_at = _claims(token_in(content)).get("exp")
    if isinstance(expires_at, bool) or not isinstance(expires_at, int | float):
        return None
    try:
        expire_time = datetime.fromtimestamp(expires_at, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    now = clock.now()
    return StoredToken(expire_time, expires_at - now, now, clock.monotonic())


def token_in(content: bytes) -> str:
    """Returns the token in a file, in either format; empty if there is none."""
    text = content.decode("ascii", "replace").strip()
    if not text.startswith("{"):
        return text
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    token = document.get("token")
    return token if isinstance(token, str) else ""


def _claims(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - RFC 7515, section 7.1
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
