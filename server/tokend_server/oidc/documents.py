"""Fetches the keys of OpenID Connect providers: discovery documents and JWK Sets."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from tokend_server.clock import Deadline
from tokend_server.oidc.joserfc_internals import ec_key, rsa_key
from tokend_server.oidc.outbound import FetchFailed, IssuerHttp, origin, require_secure_url

VerificationKey: TypeAlias = RSAKey | ECKey

#: The accepted sizes of moduli in bits: the minimum of RFC 7518, section 3.3, and the maximum of OpenSSL.
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 16_384

#: The maximum number of keys of a set that are read.
MAX_KEYS = 256

_CURVES = frozenset({"P-256", "P-384", "P-521"})

#: The members of a JWK that are read; others, such as x5c, are ignored (RFC 7517, section 4).
_TEXTS = ("kty", "n", "e", "crv", "x", "y", "kid", "alg", "use")

#: The members in base64url, which some issuers pad.
_NUMBERS = frozenset({"n", "e", "x", "y"})

#: The b64token of RFC 6750, section 2.1.
_BEARER_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """The source of a provider's keys.

    Attributes:
        issuer: The URL of the issuer, exactly as in its discovery document.
        http: Makes the requests.
        jwks_url: The URL of the keys, if the discovery document is not used.
        bearer_token_file: The file with the bearer token that the provider requires, read for each fetch. The token is
            sent only to the origin of `jwks_url`, or of the issuer, and not to other origins in documents.

    Raises:
        ValueError: The URL of the first request violates `require_secure_url`.
    """

    issuer: str
    http: IssuerHttp
    jwks_url: str | None = None
    bearer_token_file: Path | None = None

    def __post_init__(self) -> None:
        require_secure_url(self.first_url)

    @property
    def first_url(self) -> str:
        """The configured URL; all later URLs are chosen by others."""
        return self.issuer if self.jwks_url is None else self.jwks_url


def fetch_keys(
    source: KeySource, deadline: Deadline, on_ignored_key: Callable[[str], None] = lambda _reason: None
) -> tuple[VerificationKey, ...]:
    """Fetches a provider's keys, by OpenID Connect Discovery 1.0, section 4, unless their URL is configured.

    Args:
        source: Their source.
        deadline: The deadline of the fetch.
        on_ignored_key: Called with a sentence for each key that cannot be used.

    Returns:
        At least one key.

    Raises:
        FetchFailed: There was no valid response in time.
    """
    headers = {"accept-encoding": "identity"}
    credentials = _authorization(source.bearer_token_file)
    url, allow_internal = source.jwks_url, True
    if url is None:
        url, allow_internal = _discover(source, {**headers, **credentials}, deadline)
    shown = credentials if origin(url) == origin(source.first_url) else {}
    try:
        jwks, _ = _get_json(source.http, url, {**headers, **shown}, deadline, allow_internal=allow_internal)
    except FetchFailed as failure:
        if shown == credentials:
            raise
        raise FetchFailed(
            f"{failure}; the bearer token was not sent, since discovery names another origin: set jwks_url"
        ) from None
    keys = import_keys(jwks, on_ignored_key)
    if not keys:
        raise FetchFailed("the JWK Set has no key for RSA or ECDSA signatures")
    return keys


def _authorization(bearer_token_file: Path | None) -> dict[str, str]:
    if bearer_token_file is None:
        return {}
    try:
        token = bearer_token_file.read_text("utf-8-sig").strip()
    except OSError as error:
        raise FetchFailed(f"the bearer token file cannot be read: {error.strerror}") from None
    except ValueError:
        token = ""
    if not _BEARER_TOKEN.fullmatch(token):
        raise FetchFailed("the bearer token file contains no bearer token")
    return {"authorization": f"Bearer {token}"}


def _discover(source: KeySource, headers: Mapping[str, str], deadline: Deadline) -> tuple[str, bool]:
    """Returns the URL of the keys, and whether it may lead to an internal address, as only an internal issuer's may."""
    url = f"{source.issuer.removesuffix('/')}/.well-known/openid-configuration"
    configuration, from_internal = _get_json(source.http, url, headers, deadline)
    if configuration.get("issuer") != source.issuer:
        raise FetchFailed("the discovery document names another issuer")
    jwks_uri = configuration.get("jwks_uri")
    try:
        require_secure_url(jwks_uri if isinstance(jwks_uri, str) else "")
    except ValueError as error:
        raise FetchFailed(f"jwks_uri {error}") from None
    jwks_url = str(jwks_uri)
    if origin(source.issuer)[0] == "https" != origin(jwks_url)[0]:
        raise FetchFailed("jwks_uri must be https, as the issuer is")
    return jwks_url, from_internal


def import_keys(
    jwks: Mapping[str, Any], on_ignored_key: Callable[[str], None] = lambda _reason: None
) -> tuple[VerificationKey, ...]:
    """Returns the keys of a JWK Set that can verify; others are ignored (RFC 7517, section 5).

    Args:
        jwks: The set.
        on_ignored_key: Called with a sentence for each ignored key.
    """
    listed = jwks.get("keys")
    jwk_list = listed if isinstance(listed, list) else []
    keys: dict[tuple[str | None, object, str], VerificationKey] = {}
    for number, jwk in enumerate(jwk_list[:MAX_KEYS], 1):
        try:
            key = _read_key(jwk)
            key.check_use("sig")
        except (JoseError, KeyError, TypeError, ValueError) as error:
            on_ignored_key(f"key {number}{_kid_text(jwk)} was ignored: {_reason(error)}")
            continue
        keys.setdefault((key.kid, key.get("alg"), key.thumbprint()), key)
    if len(jwk_list) > MAX_KEYS:
        on_ignored_key(f"the keys after the first {MAX_KEYS} were ignored")
    return tuple(keys.values())


class _UnusableKey(ValueError):
    """The reason for which a JWK cannot verify, for the log."""


def _read_key(jwk: Any) -> VerificationKey:  # noqa: ANN401 -- any JSON value
    if not isinstance(jwk, dict):
        raise _UnusableKey("not a JSON object")
    if jwk.get("d") is not None:
        raise _UnusableKey("it is a private key, which is public and proves nothing")
    members = {name: jwk[name] for name in _TEXTS if jwk.get(name) is not None}
    for name, value in members.items():
        if not isinstance(value, str):
            raise _UnusableKey(f"{name} is not a string")
    if jwk.get("key_ops") is not None:
        members["key_ops"] = _operations(jwk["key_ops"])
    for name in _NUMBERS & members.keys():
        members[name] = members[name].rstrip("=")
    if members.get("kty") == "RSA":
        return rsa_key(members, _check_size)
    if members.get("kty") == "EC":
        return _ec_key(members)
    raise _UnusableKey("kty is neither RSA nor EC")


def _operations(value: object) -> list[str]:
    """Returns the operations that joserfc knows (RFC 7517, section 4.3, allows others); `verify` is required."""
    if not isinstance(value, list):
        raise _UnusableKey("key_ops is not a list")
    return [operation for operation in ("verify", "sign", "encrypt", "decrypt") if operation in value]


def _ec_key(members: dict[str, Any]) -> ECKey:
    if members.get("crv") not in _CURVES:
        raise _UnusableKey("crv is none of P-256, P-384 and P-521")
    return ec_key(members)


def _check_size(key: RSAPublicKey) -> None:
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise _UnusableKey(f"a modulus of {key.key_size} bits, not {MIN_RSA_BITS} to {MAX_RSA_BITS}")


def _kid_text(jwk: object) -> str:
    kid = jwk.get("kid") if isinstance(jwk, dict) else None
    return f" (kid {kid[:64]!r})" if isinstance(kid, str) else ""


def _reason(error: Exception) -> str:
    """Returns the reason in this module's words: libraries' texts may be empty, or contain data from the issuer."""
    if isinstance(error, KeyError):
        return f"{error.args[0]!s:.16} is missing"
    if isinstance(error, JoseError):
        return "use or key_ops does not allow verification"
    return str(error) if isinstance(error, _UnusableKey) else "its numbers are not a public key"


def _get_json(
    http: IssuerHttp, url: str, headers: Mapping[str, str], deadline: Deadline, *, allow_internal: bool = True
) -> tuple[dict[str, Any], bool]:
    """Fetches a JSON object, and returns it and whether it came from an internal address."""
    response = http.get(url, headers, deadline, allow_internal=allow_internal)
    try:
        document = json.loads(response.body)
    except (ValueError, RecursionError):
        raise FetchFailed(f"GET {url!r}: not JSON") from None
    if not isinstance(document, dict):
        raise FetchFailed(f"GET {url!r}: not a JSON object")
    return document, response.from_internal
