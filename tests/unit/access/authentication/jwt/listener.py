"""A listener that authenticates callers by their tokens, and such tokens."""

import base64
import dataclasses
import json
from collections.abc import Callable
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from tests.fakes.clock import FakeClock
from tests.fakes.oidc_provider import OidcProvider, jwk, rsa_key, sign

from tokend_server.access.authentication.jwt import JwtAuthenticator, TokenIssuer
from tokend_server.access.authentication.presented import PresentedCredentials
from tokend_server.access.authentication.refusals import Refusal
from tokend_server.model import Secret

NOW = 1_800_000_000
SKEW = 60
MAX_TOKEN_BYTES = 8192
SUBJECT = "system:serviceaccount:shop:checkout"
CALLER = f"jwt:kubernetes:{SUBJECT}"

#: A claim to omit.
ABSENT = object()

#: The caller, or why the token was rejected.
Outcome: TypeAlias = tuple[str | None, list[Refusal]]

ACCEPTED: Outcome = (CALLER, [])


@dataclasses.dataclass
class Listener:
    """Authenticates callers by tokens, and records the reasons of rejections."""

    clock: FakeClock
    issuers: list[TokenIssuer]
    refusals: list[Refusal] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.authenticator = JwtAuthenticator(
            self.issuers, self.clock, self.refusals.append, max_token_bytes=MAX_TOKEN_BYTES
        )

    def outcome(self, token: str) -> Outcome:
        self.refusals.clear()
        return self.authenticator(bearing(token)), list(self.refusals)

    def caller(self, token: str) -> str | None:
        return self.authenticator(bearing(token))


def by_token(issuers: list[TokenIssuer], clock: FakeClock, max_remembered: int = 10) -> JwtAuthenticator:
    return JwtAuthenticator(
        issuers, clock, lambda _: None, max_token_bytes=MAX_TOKEN_BYTES, max_remembered=max_remembered
    )


def bearing(*tokens: str) -> PresentedCredentials:
    return PresentedCredentials(authorization=tuple(Secret(f"Bearer {token}") for token in tokens))


def refused(refusal: Refusal) -> Outcome:
    return None, [refusal]


def claims_of(provider: OidcProvider, **changes: object) -> dict[str, Any]:
    """Returns the claims of a projected service account token with changes."""
    claims = {
        "aud": ["tokend"],
        "exp": NOW + 3600,
        "iat": NOW,
        "iss": provider.issuer,
        "jti": "0d1ecb6b-5d6b-4b4e-8c53-0a6d3b3f8f5e",
        "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "checkout", "uid": "1"}},
        "nbf": NOW,
        "sub": SUBJECT,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not ABSENT}


def token_of(provider: OidcProvider, **changes: object) -> str:
    return sign({"alg": "RS256", "kid": "1"}, claims_of(provider, **changes), rsa_key("1"))


def segment(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def compact(header: object, claims: object, signature: Callable[[bytes], bytes] | None = None) -> str:
    """Returns a token that no library would create; by default, it is signed with the published key."""
    signed = f"{segment(header)}.{segment(claims)}"
    return f"{signed}.{segment((signature or rs256)(signed.encode()))}"


def rs256(signed: bytes) -> bytes:
    return rsa_key("1").get_op_key("sign").sign(signed, PKCS1v15(), SHA256())


def rotate(provider: OidcProvider) -> None:
    provider.jwks = [jwk(rsa_key("2"), kid="2")]


def refresh(listener: Listener, provider: OidcProvider) -> None:
    """Makes the listener fetch the keys now, after the cool-down, by a token with an unknown key."""
    listener.caller(sign({"alg": "RS256", "kid": "not there"}, claims_of(provider), rsa_key("1")))
