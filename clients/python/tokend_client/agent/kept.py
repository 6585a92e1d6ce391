"""What a file holds, and for how long."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tokend_client.clock import Clock
from tokend_client.model import Token


@dataclass(frozen=True, slots=True)
class Kept:
    """A token in a file, with the times that this machine goes by.

    Its age is taken from both clocks, as `tokend_client.policy.Held` does: one that is set back makes no token younger.

    Attributes:
        expire_time: When it expires, by the clock of the issuer.
        life: Seconds that it had left when it was taken in.
        arrived_at: That moment, in seconds since the Unix epoch.
        arrived_monotonic: The same on the monotonic clock.
    """

    expire_time: datetime
    life: float
    arrived_at: float
    arrived_monotonic: float

    def remaining(self, clock: Clock) -> float:
        """Seconds until it expires; negative since."""
        return self.life - max(clock.now() - self.arrived_at, clock.monotonic() - self.arrived_monotonic)


def from_service(token: Token, clock: Clock) -> Kept:
    """A token that has just come."""
    now = clock.now()
    issued_at = token.issue_time.timestamp() if token.issue_time else now
    return Kept(token.expire_time, token.expire_time.timestamp() - issued_at, now, clock.monotonic())


def from_file(content: bytes, clock: Clock) -> Kept | None:
    """The token that a file holds, in either format; None where it holds none.

    Its signature is not verified: nothing is decided by it but how long the file stays.
    """
    expires_at = _claims(token_in(content)).get("exp")
    if isinstance(expires_at, bool) or not isinstance(expires_at, int | float):
        return None
    try:
        expire_time = datetime.fromtimestamp(expires_at, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    now = clock.now()
    return Kept(expire_time, expires_at - now, now, clock.monotonic())


def token_in(content: bytes) -> str:
    """The token that a file holds, in either format; empty where there is none."""
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
