"""An issuer of tokens in tokend's format, with any part wrong on request."""

import time
from collections.abc import Mapping
from typing import Any

from tests.fakes.oidc_provider import OidcProvider, rsa_key, sign

POOL = "local:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"
IDENTITY_ID = "local:6b1f0c52-7f5e-4a63-9c0d-3f1d2b9a8e47"
HEADER: dict[str, object] = {"kid": "1", "typ": "JWS", "alg": "RS256"}


def claims(issuer: str, **changes: object) -> dict[str, Any]:
    """Returns tokend's claims; a change to None removes the claim."""
    now = int(time.time())
    full = {
        "sub": IDENTITY_ID,
        "aud": POOL,
        "amr": ["authenticated", "login.example", f"login.example:{POOL}:alice"],
        "https://aws.amazon.com/tags": {"principal_tags": {"team": ["red"]}},
        "iss": issuer,
        "exp": now + 900,
        "iat": now,
    } | changes
    return {name: value for name, value in full.items() if value is not None}


def token(issuer: OidcProvider, **changes: object) -> str:
    """Returns a valid token, with changes to its claims."""
    return sign(HEADER, claims(issuer.issuer, **changes), rsa_key("1"))


def token_with(issuer: OidcProvider, header: Mapping[str, object], *, key: str = "1", **changes: object) -> str:
    """Returns a token with changes to its header, or another key."""
    complete = {name: value for name, value in {**HEADER, **header}.items() if value is not None}
    return sign(complete, claims(issuer.issuer, **changes), rsa_key(key))
