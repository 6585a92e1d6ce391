"""What a token of Cognito says about itself, read without trusting it: no signature is checked here."""

import base64
import binascii
from typing import Any, NamedTuple

import orjson

from tokend_server.model import NumericDate, Secret

#: The end of the year 9999, the last that a protobuf Timestamp can tell.
_LAST_DATE = 253_402_300_799

_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"})


class UnreadableToken(Exception):
    """Raised when what should be a token is none, or lacks what every token has."""


class TokenFacts(NamedTuple):
    """The facts that a token is handled by.

    Attributes:
        issued_at: Its `iat`, or None.
        expire_time: Its `exp`.
        algorithm: Its `alg`, or `unknown` for one that no OpenID provider would sign with.
        key_id: Its `kid`, if it has one.
    """

    issued_at: NumericDate | None
    expire_time: NumericDate
    algorithm: str
    key_id: str | None


def read_unverified(token: Secret) -> TokenFacts:
    """Reads header and claims of a JWT in compact form (RFC 7519, section 3).

    Raises:
        UnreadableToken: It is no JWT, or has no `exp` that is a date.
    """
    parts = token.reveal().split(".")
    if len(parts) != len(("header", "claims", "signature")):
        raise UnreadableToken
    header, claims = _json_object(parts[0]), _json_object(parts[1])
    expire_time = _date(claims.get("exp"))
    if expire_time is None:
        raise UnreadableToken
    algorithm, key_id = header.get("alg"), header.get("kid")
    return TokenFacts(
        issued_at=_date(claims.get("iat")),
        expire_time=expire_time,
        algorithm=algorithm if isinstance(algorithm, str) and algorithm in _ALGORITHMS else "unknown",
        key_id=key_id if isinstance(key_id, str) else None,
    )


def _json_object(part: str) -> dict[str, Any]:
    try:
        decoded = orjson.loads(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise UnreadableToken from None
    if not isinstance(decoded, dict):
        raise UnreadableToken
    return decoded


def _date(value: object) -> NumericDate | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return int(value) if 0 <= value <= _LAST_DATE else None
