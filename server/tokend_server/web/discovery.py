"""OpenID Connect discovery and the public keys, under the issuer's URL."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tokend_server.model import KeySet

#: Where the keys are: the customary path, and Cognito's own.
JWKS_PATH = "/.well-known/jwks.json"
COGNITO_JWKS_PATH = "/.well-known/jwks_uri"
DISCOVERY_PATH = "/.well-known/openid-configuration"

#: Verifiers in browsers may read the keys too, and nothing may guess another type.
_COMMON_HEADERS = {"access-control-allow-origin": "*", "x-content-type-options": "nosniff"}

_CLAIMS = ("sub", "aud", "amr", "iss", "exp", "iat")


def discovery_document(issuer: str, algorithms: Sequence[str]) -> bytes:
    """The provider metadata (OpenID Connect Discovery 1.0, section 3) of an issuer that has no login page.

    Args:
        issuer: The `iss` of its tokens.
        algorithms: What it signs with.
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


def issuer_routes(issuer: str, algorithms: Sequence[str], key_set: Callable[[], KeySet]) -> list[Route]:
    """The routes of the issuer listener, below the path of the issuer's URL.

    Args:
        issuer: The `iss` of its tokens.
        algorithms: What it signs with.
        key_set: The keys to publish at this moment.
    """
    document = discovery_document(issuer, algorithms)

    async def discovery(request: Request) -> Response:
        return _cacheable(request, document, key_set().max_age)

    async def jwks(request: Request) -> Response:
        keys = key_set()
        return _cacheable(request, keys.jwks, keys.max_age)

    base = urlsplit(issuer).path
    return [
        Route(base + DISCOVERY_PATH, discovery),
        Route(base + JWKS_PATH, jwks),
        Route(base + COGNITO_JWKS_PATH, jwks),
    ]


def _cacheable(request: Request, document: bytes, max_age: timedelta) -> Response:
    etag = _entity_tag(document)
    headers = {
        **_COMMON_HEADERS,
        "cache-control": f"public, max-age={int(max_age.total_seconds())}, stale-if-error=86400",
        "etag": etag,
    }
    held = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if held & {etag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(document, media_type="application/json", headers=headers)


def _entity_tag(document: bytes) -> str:
    """A strong entity tag (RFC 9110, section 8.8.3)."""
    return f'"{base64.urlsafe_b64encode(hashlib.sha256(document).digest()[:18]).decode()}"'
