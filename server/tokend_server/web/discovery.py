"""OpenID Connect discovery and the public keys, under the issuer's URL."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from tokend_server.model import KeySet, NoteFetch
from tokend_server.web.message import Page, Request, Response
from tokend_server.web.site import CORS_HEADERS

#: The path of the keys: the usual one, which is also Cognito's.
JWKS_PATH = "/.well-known/jwks.json"
COGNITO_JWKS_PATH = "/.well-known/jwks_uri"
DISCOVERY_PATH = "/.well-known/openid-configuration"

#: Verifiers in browsers may read the keys too, and must not guess another type.
_COMMON_HEADERS = {**CORS_HEADERS, "x-content-type-options": "nosniff"}

_CLAIMS = ("sub", "aud", "amr", "iss", "exp", "iat")


def discovery_document(issuer: str, algorithms: Sequence[str]) -> bytes:
    """Returns the provider metadata (OpenID Connect Discovery 1.0, section 3) of an issuer without a login page.

    Args:
        issuer: The `iss` of its tokens.
        algorithms: Its signing algorithms.
    """
    metadata = {
        "issuer": issuer,
        "jwks_uri": issuer + JWKS_PATH,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": list(algorithms),
        "claims_supported": list(_CLAIMS),
    }
    return json.dumps(metadata).encode()


def _unnoted(_keys: KeySet, _address: str, _user_agent: bytes) -> None:
    pass


def issuer_pages(
    issuer: str, algorithms: Sequence[str], key_set: Callable[[], KeySet], note_fetch: NoteFetch = _unnoted
) -> dict[str, Page]:
    """Returns the pages of the issuer listener by path, below the path of the issuer's URL.

    Args:
        issuer: The `iss` of its tokens.
        algorithms: Its signing algorithms.
        key_set: Returns the current keys.
        note_fetch: Called for each client that gets the keys, or proves that it has them, with its address and its user
            agent as sent. No header with another address is trusted.
    """
    document = discovery_document(issuer, algorithms)
    discovery = _CachedDocument(key_set, lambda _keys: document)
    jwks = _CachedDocument(key_set, lambda keys: keys.jwks, note_fetch)
    base = unquote(urlsplit(issuer).path)  # like the path of a request
    return {base + DISCOVERY_PATH: discovery, base + JWKS_PATH: jwks, base + COGNITO_JWKS_PATH: jwks}


class _CachedDocument:
    """A document that clients may cache as long as the keys allow, rendered once for each key set.

    Args:
        key_set: Returns the current keys: the same object until they change.
        document_of: Returns the document for the keys.
        note_fetch: As in `issuer_pages`.
    """

    def __init__(
        self,
        key_set: Callable[[], KeySet],
        document_of: Callable[[KeySet], bytes],
        note_fetch: NoteFetch = _unnoted,
    ) -> None:
        self._key_set = key_set
        self._document_of = document_of
        self._note_fetch = note_fetch
        self._render(key_set())

    def __call__(self, request: Request) -> Response:
        keys = self._key_set()
        if keys is not self._keys:
            self._render(keys)
        held = _entity_tags(request.headers.get(b"if-none-match", b""))
        if b"*" in held:  # it does not show which keys the client has
            return self._not_modified
        if request.method == "GET":
            self._note_fetch(keys, request.peer, request.headers.get(b"user-agent", b""))
        return self._not_modified if self._etag in held else self._whole

    def _render(self, keys: KeySet) -> None:
        document = self._document_of(keys)
        etag = _entity_tag(document)
        headers = {
            **_COMMON_HEADERS,
            "cache-control": f"public, max-age={int(keys.max_age.total_seconds())}, stale-if-error=86400",
            "etag": etag,
        }
        self._keys = keys
        self._etag = etag.encode()
        self._whole = Response(HTTPStatus.OK, {**headers, "content-type": "application/json"}, document)
        self._not_modified = Response(HTTPStatus.NOT_MODIFIED, headers)


def _entity_tag(document: bytes) -> str:
    """Returns a strong entity tag (RFC 9110, section 8.8.3)."""
    return f'"{base64.urlsafe_b64encode(hashlib.sha256(document).digest()[:18]).decode()}"'


def _entity_tags(held: bytes) -> list[bytes]:
    """Returns the tags in an `if-none-match`, for weak comparison (RFC 9110, section 13.1.2)."""
    return [tag.strip().removeprefix(b"W/") for tag in held.split(b",")] if held else []
