"""Verifies tokens by the rules of OpenID Connect Core 1.0, section 3.1.3.7, and of RFC 8725."""

import asyncio
import base64
import math
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import jwt

from tokend_client.verifier import strict_json
from tokend_client.verifier.identity import VerifiedIdentity
from tokend_client.verifier.issuer_keys import IssuerKeys
from tokend_client.verifier.rejections import TokenRejected

#: The algorithms that tokend signs with.
ALGORITHMS = ("RS512", "RS256", "ES256")
#: The `typ` of tokend's tokens, which depends on the pool's `token_type`.
TYPES = ("JWS", "JWT")

_MAX_TOKEN = 16_384
_REQUIRED = ["sub", "aud", "iss", "exp", "iat"]
#: The claims that are a NumericDate (RFC 7519, section 2): a date of RFC 3339, which has the same years as `datetime`.
_TIMES = ("exp", "iat", "nbf")
_TAGS_CLAIM = "https://aws.amazon.com/tags"

#: The first match is the reason.
_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token was issued in the future"),
    (jwt.InvalidIssuerError, "the token is from another issuer"),
    (jwt.InvalidAudienceError, "the token is for another identity pool"),
    (jwt.MissingRequiredClaimError, "the token lacks a claim"),
    (jwt.InvalidAlgorithmError, "the token is signed with an algorithm that is not allowed"),
    (jwt.InvalidSignatureError, "the token's signature is not valid"),
    (jwt.PyJWTError, "the token is not valid"),
)


class TokenVerifier:
    """Verifies the tokens of one issuer for one or more identity pools. Thread-safe.

    Args:
        issuer: The issuer's URL, as in the tokens' `iss`.
        identity_pool_ids: The pools whose tokens are accepted (`aud`). All pools of a tokend service share its keys:
            without this check, the tokens of any pool would be accepted.
        algorithms: The accepted signature algorithms.
        types: The accepted values of `typ`, case-insensitive.
        leeway: By how many seconds clocks may differ.
        keys: The issuer's keys; by default, they are found by its discovery document.

    Raises:
        ValueError: No pool, algorithm or type is given, or `leeway` is negative or not finite.
    """

    def __init__(  # noqa: PLR0913 - the parameters of a verifier
        self,
        issuer: str,
        identity_pool_ids: Collection[str],
        *,
        algorithms: Collection[str] = ALGORITHMS,
        types: Collection[str] = TYPES,
        leeway: float = 60.0,
        keys: IssuerKeys | None = None,
    ) -> None:
        named = {"identity_pool_ids": identity_pool_ids, "algorithms": algorithms, "types": types}
        for name, values in named.items():
            if isinstance(values, str) or not values:
                raise ValueError(f"{name} must be a collection with at least one value")
        if not 0 <= leeway < math.inf:
            raise ValueError(f"leeway must be a finite number of seconds, zero or more: {leeway}")
        self._issuer = issuer
        self._audience = list(identity_pool_ids)
        self._algorithms = list(algorithms)
        self._types = {type_.lower() for type_ in types}
        self._leeway = leeway
        self._keys = keys or IssuerKeys(issuer)

    def verify(self, token: str) -> VerifiedIdentity:
        """Verifies a token and returns its identity. It may wait while the issuer's keys are fetched.

        Raises:
            TokenRejected: The token is not valid.
            KeysUnavailable: The issuer's keys are not available.
        """
        kid = self._checked_kid(token)
        return self._verify_with_key(token, self._keys.held(kid) or self._keys.find(kid))

    async def verify_async(self, token: str) -> VerifiedIdentity:
        """As `verify`, without blocking the event loop while keys are fetched."""
        kid = self._checked_kid(token)
        key = self._keys.held(kid)
        if key is None:
            key = await asyncio.to_thread(self._keys.find, kid)
        return self._verify_with_key(token, key)

    def _checked_kid(self, token: str) -> str:
        if len(token) > _MAX_TOKEN:
            raise TokenRejected(f"the token is longer than {_MAX_TOKEN} characters")
        try:
            header, payload, _ = map(_decode, token.split("."))
            # Strictly, before PyJWT does.
            strict_json.loads(header)
            strict_json.loads(payload)
            members = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise TokenRejected("the token is not a JWT") from error
        kid, type_ = members.get("kid"), members.get("typ")
        if members.get("alg") not in self._algorithms:
            raise TokenRejected("the token is signed with an algorithm that is not allowed")
        if not isinstance(type_, str) or type_.lower() not in self._types:
            raise TokenRejected("the token has another type")
        if not isinstance(kid, str):
            raise TokenRejected("the token has no key id")
        return kid

    def _verify_with_key(self, token: str, key: jwt.PyJWK) -> VerifiedIdentity:
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway,
                options={"require": _REQUIRED},
            )
        except jwt.PyJWTError as error:
            raise TokenRejected(next(text for kind, text in _REASONS if isinstance(error, kind))) from error
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            # Some versions of PyJWT raise these for invalid dates and for deeply nested claims.
            raise TokenRejected("the token is not valid") from error
        return _identity(claims)


def _decode(text: str) -> bytes:
    """Decodes base64url (RFC 7515, section 2). PyJWT accepts padding.

    Raises:
        ValueError: The text is not the canonical encoding of any octets.
    """
    octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != text.encode():
        raise ValueError("the text is not base64url")
    return octets


def _identity(claims: Mapping[str, Any]) -> VerifiedIdentity:
    # An array of one means the same as a string (RFC 7519, section 4.1.3). tokend's tokens have only one audience.
    audiences = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
    if len(audiences) != 1:
        raise TokenRejected("the token is for more than one audience")
    try:
        _check_shape(claims)
        times = {name: datetime.fromtimestamp(claims[name], UTC) for name in _TIMES if name in claims}
        return VerifiedIdentity(
            identity_id=claims["sub"],
            identity_pool_id=audiences[0],
            principal_tags=_principal_tags(claims),
            issue_time=times["iat"],
            expire_time=times["exp"],
            claims=claims,
        )
    except (ValueError, TypeError, AttributeError, OverflowError, OSError) as error:
        raise TokenRejected("the token's claims do not have the format of tokend's") from error


def _check_shape(claims: Mapping[str, Any]) -> None:
    # PyJWT accepts strings and booleans as numbers.
    numbers = [claims[name] for name in _TIMES if name in claims]
    good = bool(claims["sub"]) and all(type(number) in {int, float} for number in numbers)
    if not good or not _is_string_list(claims.get("amr", [])):
        raise ValueError("a claim has another format")


def _is_string_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _principal_tags(claims: Mapping[str, Any]) -> dict[str, str]:
    tags = claims.get(_TAGS_CLAIM, {}).get("principal_tags", {})
    if not all(_is_string_list(values) and values for values in tags.values()):
        raise ValueError("a tag is not a list of strings")
    return {name: values[0] for name, values in tags.items()}
