"""Reads the header and the claims of Cognito's tokens without verifying their signatures."""

from typing import NamedTuple

from tokend_server.model import NumericDate, Secret
from tokend_server.oidc.tokens import ALGORITHMS, MalformedToken, read_token

#: The end of the year 9999, the last date of a protobuf Timestamp.
_LAST_DATE = 253_402_300_799


class TokenFacts(NamedTuple):
    """The parts of a token that are used.

    Attributes:
        issued_at: Its `iat`, or None.
        expire_time: Its `exp`.
        algorithm: Its `alg`, or `unknown` if it is not a signing algorithm of OpenID providers.
        key_id: Its `kid`, if it has one.
    """

    issued_at: NumericDate | None
    expire_time: NumericDate
    algorithm: str
    key_id: str | None


def read_unverified(token: Secret) -> TokenFacts:
    """Reads header and claims of a JWT in compact form (RFC 7519, section 3).

    Raises:
        MalformedToken: It is not a JWT, or has no valid `exp`.
    """
    signed = read_token(token)
    header, claims = signed.jws.headers(), signed.claims
    expire_time = _date(claims.get("exp"))
    if expire_time is None:
        raise MalformedToken
    algorithm, key_id = header.get("alg"), header.get("kid")
    return TokenFacts(
        issued_at=_date(claims.get("iat")),
        expire_time=expire_time,
        algorithm=algorithm if isinstance(algorithm, str) and algorithm in ALGORITHMS else "unknown",
        key_id=key_id if isinstance(key_id, str) else None,
    )


def _date(value: object) -> NumericDate | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return int(value) if 0 <= value <= _LAST_DATE else None
