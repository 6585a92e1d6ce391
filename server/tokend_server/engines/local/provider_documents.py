"""What a public login provider publishes about its keys: fetched over HTTP by OpenID Connect Discovery, and read."""

import contextlib
import ipaddress
import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from tokend_server.clock import Deadline

VerificationKey: TypeAlias = RSAKey | ECKey

MAX_DOCUMENT_BYTES = 1 << 20

#: Seconds to wait for a connection, or for data on it.
SOCKET_TIMEOUT = 2.0

#: The shortest modulus that RFC 7518, section 3.3, allows.
MIN_RSA_BITS = 2048

_CHUNK_BYTES = 1 << 16


class FetchFailed(Exception):
    """Raised when a provider's keys could not be had; the text says why, for operators."""


def require_secure_url(url: str) -> None:
    """Makes sure that what comes from a URL is what its owner sent: https, or http that does not leave the host.

    Raises:
        ValueError: It is neither, it is no URL, or it holds credentials.
    """
    parts = parse_url(url)
    host = parts.host or ""
    secure = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))
    if not (secure and host) or parts.auth:
        raise ValueError("must be an https URL without credentials; http is for loopback hosts only")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def fetch_keys(issuer: str, http: PoolManager, deadline: Deadline) -> tuple[VerificationKey, ...]:
    """Fetches a provider's keys as OpenID Connect Discovery 1.0, section 4, describes.

    Returns:
        At least one key.

    Raises:
        FetchFailed: There was no good answer in time.
    """
    configuration = _get_json(http, f"{issuer.removesuffix('/')}/.well-known/openid-configuration", deadline)
    if configuration.get("issuer") != issuer:
        raise FetchFailed("the discovery document names another issuer")
    jwks_uri = configuration.get("jwks_uri")
    try:
        require_secure_url(jwks_uri if isinstance(jwks_uri, str) else "")
    except ValueError as error:
        raise FetchFailed(f"jwks_uri {error}") from None
    keys = import_keys(_get_json(http, str(jwks_uri), deadline))
    if not keys:
        raise FetchFailed("the JWK Set has no key for RSA or ECDSA signatures")
    return keys


def import_keys(jwks: Mapping[str, Any]) -> tuple[VerificationKey, ...]:
    """The keys of a JWK Set that can verify; others are passed over (RFC 7517, section 5)."""
    jwk_list = jwks.get("keys")
    imported = map(_import_key, jwk_list if isinstance(jwk_list, list) else [])
    return tuple(key for key in imported if key is not None)


def _import_key(jwk: Any) -> VerificationKey | None:  # noqa: ANN401 -- any JSON value
    try:
        key = _read_key(jwk)
        key.check_use("sig")
    except (JoseError, KeyError, TypeError, ValueError):
        return None
    return key


def _read_key(jwk: dict[str, Any]) -> VerificationKey:
    if "d" in jwk:
        raise ValueError("a private key that everybody has proves nothing")
    if jwk["kty"] == "EC":
        return ECKey.import_key(jwk)
    if jwk["kty"] != "RSA":
        raise ValueError("not a key of a supported type")
    # joserfc's import_key would accept a short key, with a warning.
    public_key = RSAKey.binding.import_from_dict(jwk)
    if public_key.key_size < MIN_RSA_BITS:
        raise ValueError("too short")
    return RSAKey(public_key, jwk)


def _get_json(http: PoolManager, url: str, deadline: Deadline) -> dict[str, Any]:
    try:
        document = json.loads(_get(http, url, deadline))
    except HTTPError as error:
        raise FetchFailed(f"GET {url!r}: {type(error).__name__}") from None
    except (ValueError, RecursionError):
        raise FetchFailed(f"GET {url!r}: no JSON") from None
    if not isinstance(document, dict):
        raise FetchFailed(f"GET {url!r}: no JSON object")
    return document


def _get(http: PoolManager, url: str, deadline: Deadline) -> bytes:
    response = http.request(
        "GET",
        url,
        headers={"accept-encoding": "identity"},
        timeout=Timeout(connect=SOCKET_TIMEOUT, read=SOCKET_TIMEOUT, total=_time_left(deadline)),
        redirect=False,
        retries=False,
        preload_content=False,
        decode_content=False,
    )
    with contextlib.closing(response):
        if response.status != 200:  # noqa: PLR2004 -- the number is the status's name
            raise FetchFailed(f"GET {url!r}: status {response.status}")
        return _read(response, deadline)


def _read(response: BaseHTTPResponse, deadline: Deadline) -> bytes:
    body = bytearray()
    # read1 returns what has come, so that a body that trickles in is noticed.
    while chunk := response.read1(_CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_DOCUMENT_BYTES:
            raise FetchFailed("a document is too large")
        _time_left(deadline)
    return bytes(body)


def _time_left(deadline: Deadline) -> float:
    remaining = deadline.remaining()
    if remaining == 0:
        raise FetchFailed("it took too long")
    return remaining
