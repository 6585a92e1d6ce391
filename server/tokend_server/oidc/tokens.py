"""Parses JSON Web Tokens of other issuers strictly, and verifies them with the issuers' keys.

The rules are those of RFC 7515, RFC 7519 and the best practices of RFC 8725; joserfc verifies the signatures.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import Any, NewType, NoReturn, Protocol

from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact, validate_compact
from joserfc.util import urlsafe_b64decode

from tokend_server.clock import Deadline
from tokend_server.model import Secret
from tokend_server.oidc.documents import VerificationKey

#: The algorithms with public keys, with which a verifier cannot create tokens (RFC 7518, section 3.1).
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"})

#: The maximum number of keys that are tried for a token if several fit.
MAX_TRIED_KEYS = 16

#: The maximum length of an integer in characters, about that of the largest float: a refusal may contain a date.
_MAX_DIGITS = 300

#: More than the size of any token in a call.
_MAX_PART_BYTES = 2**20

UnverifiedClaims = NewType("UnverifiedClaims", dict[str, Any])
VerifiedClaims = NewType("VerifiedClaims", dict[str, Any])


class MalformedToken(Exception):
    """Raised when a text is not a signed JSON Web Token."""


class NotVerified(Exception):
    """Raised when a token cannot be verified as its issuer's."""


class HeaderRefused(NotVerified):
    """Raised when its header is not acceptable, for example because of its algorithm."""


class KeyUnknown(NotVerified):
    """Raised when its issuer has no key with its id, or none that fits its algorithm."""


class _Registry(JWSRegistry):
    """Sets no limits of the parts of a token: the length of the whole token is limited elsewhere."""

    max_header_length = max_payload_length = max_signature_length = _MAX_PART_BYTES


_SIZES = _Registry()


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A parsed token, which is not verified.

    Attributes:
        jws: Its header and signature.
        claims: Its claims.
    """

    jws: CompactSignature
    claims: UnverifiedClaims


def read_token(token: Secret) -> SignedToken:
    """Parses a token in compact form, whose length has been checked.

    Raises:
        MalformedToken: It is not a token, or a member of its header or its claims is duplicated.
    """
    try:
        jws = extract_compact(token.reveal().encode(), registry=_SIZES)
        header = _STRICT_JSON.decode(urlsafe_b64decode(jws.segments["header"]).decode())
        claims = _STRICT_JSON.decode(jws.payload.decode())
    except (JoseError, TypeError, ValueError, RecursionError):
        raise MalformedToken from None
    # joserfc accepts any JSON value that contains "alg" as a header.
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise MalformedToken
    return SignedToken(jws, UnverifiedClaims(claims))


def _unique_members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(members)
    if len(unique) != len(members):
        raise ValueError("a member is duplicated")
    return unique


def _whole_number(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("a number is too long")
    return int(digits)


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_STRICT_JSON = json.JSONDecoder(object_pairs_hook=_unique_members, parse_int=_whole_number, parse_constant=_no_constant)


class VerificationKeys(Protocol):
    """The keys of an issuer."""

    def find(self, kid: str | None, deadline: Deadline) -> tuple[VerificationKey, ...]:
        """Returns the keys that may have signed a token with this `kid`."""
        ...

    def refetch(self, kid: str | None, deadline: Deadline) -> tuple[VerificationKey, ...]:
        """Returns the same after another fetch; no keys if that yields no others."""
        ...


class TokenVerifier:
    """Verifies the signatures of tokens with some algorithms only.

    Args:
        algorithms: The accepted values of `alg`, at least one and all of `ALGORITHMS`.

    Raises:
        ValueError: There is no algorithm, or one that is not allowed.
    """

    def __init__(self, algorithms: Collection[str]) -> None:
        # Without algorithms, joserfc would use its defaults, which include HS256.
        if not algorithms or not ALGORITHMS.issuperset(algorithms):
            raise ValueError(f"the algorithms of tokens must be some of {', '.join(sorted(ALGORITHMS))}")
        # Unknown header members are ignored, as RFC 7515, section 4, requires.
        self._registry = _Registry(algorithms=algorithms, strict_check_header=False)

    def verify(self, token: SignedToken, keys: VerificationKeys, deadline: Deadline) -> VerifiedClaims:
        """Verifies a token's signature only.

        Args:
            token: The token.
            keys: The keys of its issuer.
            deadline: The deadline for fetching them.

        Raises:
            HeaderRefused: Its header is not acceptable.
            KeyUnknown: The issuer has no key for it.
            NotVerified: Its signature is not the issuer's.
            KeysUnavailable: The issuer's keys, or its newest, are not known and cannot be fetched now.
            DeadlineExceeded: The keys were not fetched before the deadline.
        """
        algorithm, kid = self._algorithm(token.jws), token.jws.headers().get("kid")
        is_known = False
        for look_up in (keys.find, keys.refetch):
            fitting = list(islice((key for key in look_up(kid, deadline) if _fits(key, algorithm)), MAX_TRIED_KEYS))
            if any(self._is_signed_by(token.jws, key) for key in fitting):
                return VerifiedClaims(token.claims)
            is_known = is_known or bool(fitting)
        raise NotVerified if is_known else KeyUnknown

    def _is_signed_by(self, jws: CompactSignature, key: VerificationKey) -> bool:
        try:
            return validate_compact(jws, key, registry=self._registry)
        except (JoseError, ValueError):
            return False

    def _algorithm(self, jws: CompactSignature) -> JWSAlgModel:
        """Checks the header first, so that a token that cannot verify causes no request to its provider."""
        header = jws.headers()
        if "crit" in header:
            raise HeaderRefused
        try:
            self._registry.check_header(header)
            return self._registry.get_alg(header["alg"])
        except JoseError:
            raise HeaderRefused from None


def _fits(key: VerificationKey, algorithm: JWSAlgModel) -> bool:
    """Returns whether the key's type, curve, `use`, `alg` and `key_ops` allow verification with the algorithm."""
    try:
        algorithm.check_key(key)
        key.check_key_op("verify")
    except JoseError:
        return False
    return True
