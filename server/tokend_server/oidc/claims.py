"""Validates the claims of JSON Web Tokens, by the same rules for all kinds of tokens (RFC 7519, section 4.1).

`ClaimRules` contains the differences between callers' tokens and users' ID tokens.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from tokend_server.oidc.tokens import VerifiedClaims

#: The maximum size of a subject in UTF-8. OpenID Connect Core, section 2, has 255; service accounts may need more.
MAX_SUBJECT_BYTES = 1024

#: The last second of the year 9999: later dates cannot be represented.
_LAST_DATE = 253_402_300_799

#: Programs truncate names at these characters, or hide them, so that two subjects look equal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_ALWAYS_REQUIRED = frozenset({"aud", "exp", "sub"})


class Problem(Enum):
    """The problem of a claim."""

    MISSING = "is missing"
    MALFORMED = "is malformed"
    EXPIRED = "is in the past"
    NOT_YET_VALID = "is in the future"
    FOR_OTHERS = "names others only"


class ClaimRefused(Exception):
    """Raised when a claim is not acceptable.

    Attributes:
        problem: The problem.
        claim: The name of the claim.
    """

    def __init__(self, problem: Problem, claim: str) -> None:
        super().__init__(f"{claim} {problem.value}")
        self.problem = problem
        self.claim = claim


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRules:
    """The requirements on a kind of token.

    Attributes:
        audiences: The accepted values of `aud`.
        skew: Seconds that an issuer's clock may differ from this one's.
        required: The required claims in addition to `aud`, `exp` and `sub`.
        by_authorized_party: Whether `azp`, if present, is compared with the audiences instead of `aud`.
    """

    audiences: Collection[str]
    skew: float
    required: frozenset[str] = frozenset()
    by_authorized_party: bool = False


class Claims(NamedTuple):
    """The validated claims of a token.

    Attributes:
        subject: 1 to `MAX_SUBJECT_BYTES` octets of UTF-8 without control characters.
        expire_time: Seconds since the Unix epoch, possibly with a fraction (RFC 7519, section 2, NumericDate).
    """

    subject: str
    expire_time: float


def read_claims(claims: VerifiedClaims, rules: ClaimRules, now: float) -> Claims:
    """Validates the claims of a token whose signature and `iss` have been verified.

    Args:
        claims: The claims.
        rules: The requirements.
        now: Seconds since the Unix epoch.

    Raises:
        ClaimRefused: A claim is missing, malformed, or not acceptable here and now; the first in this order.
    """
    _check_shapes(claims, rules.required)
    if claims["exp"] <= now - rules.skew:
        raise ClaimRefused(Problem.EXPIRED, "exp")
    for name in ("nbf", "iat"):
        if claims.get(name, now) > now + rules.skew:
            raise ClaimRefused(Problem.NOT_YET_VALID, name)
    _check_audience(claims, rules)
    return Claims(claims["sub"], claims["exp"])


def _check_shapes(claims: VerifiedClaims, required: frozenset[str]) -> None:
    for name in sorted(_ALWAYS_REQUIRED | required):
        if claims.get(name) is None:
            raise ClaimRefused(Problem.MISSING, name)
    for name, is_well_formed in _SHAPES.items():
        if name in claims and not is_well_formed(claims[name]):
            raise ClaimRefused(Problem.MALFORMED, name)


def _check_audience(claims: VerifiedClaims, rules: ClaimRules) -> None:
    audience, authorized_party = claims["aud"], claims.get("azp")
    if rules.by_authorized_party and authorized_party is not None:
        named = [authorized_party]
    else:
        named = [audience] if isinstance(audience, str) else audience
    if not any(isinstance(name, str) and name in rules.audiences for name in named):
        raise ClaimRefused(Problem.FOR_OTHERS, "aud")


def _is_date(value: object) -> bool:
    """Returns whether a value is a NumericDate; NaN and infinity fail the comparisons, and `True` is not a number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LAST_DATE <= value <= _LAST_DATE


def _is_subject(value: object) -> bool:
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        return False
    try:
        return len(value.encode()) <= MAX_SUBJECT_BYTES
    except UnicodeEncodeError:  # a lone surrogate, which JSON can contain
        return False


def _is_audience(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(name, str) for name in value))


_SHAPES: Mapping[str, Callable[[Any], bool]] = {
    "aud": _is_audience,
    "exp": _is_date,
    "iat": _is_date,
    "nbf": _is_date,
    "sub": _is_subject,
    "jti": lambda value: isinstance(value, str),
}
