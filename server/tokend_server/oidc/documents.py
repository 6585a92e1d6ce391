"""What an OpenID Connect provider publishes about its keys: fetched over HTTP, and read."""

import contextlib
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from tokend_server.clock import Deadline
from tokend_server.oidc.authorities import believing

VerificationKey: TypeAlias = RSAKey | ECKey

MAX_DOCUMENT_BYTES = 1 << 20

#: Seconds to wait for a connection, or for data on it.
SOCKET_TIMEOUT = 2.0

#: The shortest modulus that RFC 7518, section 3.3, allows.
MIN_RSA_BITS = 2048

_CHUNK_BYTES = 1 << 16

#: The b64token of RFC 6750, section 2.1: what a header can hold.
_BEARER_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class FetchFailed(Exception):
    """Raised when a provider's keys could not be had; the text says why, for operators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """Where a provider publishes its keys.

    Attributes:
        issuer: The URL whose discovery document leads to the keys, exactly as that document names it.
        http: Makes the requests.
        jwks_url: The URL of the keys, where no discovery document is to be asked for it.
        bearer_token_file: Holds the bearer token that the provider demands; read anew for each fetch.

    Raises:
        ValueError: The URL that the first request goes to breaks the rule of `require_secure_url`.
    """

    issuer: str
    http: PoolManager
    jwks_url: str | None = None
    bearer_token_file: Path | None = None

    def __post_init__(self) -> None:
        require_secure_url(self.issuer if self.jwks_url is None else self.jwks_url)


def open_http(ca_file: Path | None = None) -> PoolManager:
    """Makes the connections to a provider.

    Args:
        ca_file: PEM certificates of the only authorities that are believed, read anew for each connection; not given:
            the system's.

    Raises:
        ValueError: The file cannot be read or holds no certificate.
    """
    return PoolManager() if ca_file is None else believing(ca_file)


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


def fetch_keys(source: KeySource, deadline: Deadline) -> tuple[VerificationKey, ...]:
    """Fetches a provider's keys, as OpenID Connect Discovery 1.0, section 4, describes unless their URL is known.

    Returns:
        At least one key.

    Raises:
        FetchFailed: There was no good answer in time.
    """
    headers = {"accept-encoding": "identity", **_authorization(source.bearer_token_file)}
    jwks_url = _discover(source, headers, deadline) if source.jwks_url is None else source.jwks_url
    keys = import_keys(_get_json(source.http, jwks_url, headers, deadline))
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
        raise FetchFailed("the bearer token file holds no bearer token")
    return {"authorization": f"Bearer {token}"}


def _discover(source: KeySource, headers: Mapping[str, str], deadline: Deadline) -> str:
    url = f"{source.issuer.removesuffix('/')}/.well-known/openid-configuration"
    configuration = _get_json(source.http, url, headers, deadline)
    if configuration.get("issuer") != source.issuer:
        raise FetchFailed("the discovery document names another issuer")
    jwks_uri = configuration.get("jwks_uri")
    try:
        require_secure_url(jwks_uri if isinstance(jwks_uri, str) else "")
    except ValueError as error:
        raise FetchFailed(f"jwks_uri {error}") from None
    return str(jwks_uri)


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


def _get_json(http: PoolManager, url: str, headers: Mapping[str, str], deadline: Deadline) -> dict[str, Any]:
    try:
        document = json.loads(_get(http, url, headers, deadline))
    except HTTPError as error:
        raise FetchFailed(f"GET {url!r}: {type(error).__name__}") from None
    except (ValueError, RecursionError):
        raise FetchFailed(f"GET {url!r}: no JSON") from None
    if not isinstance(document, dict):
        raise FetchFailed(f"GET {url!r}: no JSON object")
    return document


def _get(http: PoolManager, url: str, headers: Mapping[str, str], deadline: Deadline) -> bytes:
    response = http.request(
        "GET",
        url,
        headers=headers,
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
