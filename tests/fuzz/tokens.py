"""JSON Web Tokens of any shape, with valid signatures."""

import base64
import hmac
import json
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeAlias, TypedDict

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry
from tests.fakes.oidc_provider import jwk, rsa_key

from tokend_server.oidc.outbound import Document, IssuerHttp

NOW = 1_800_000_000

#: The issuer of callers' tokens.
CLUSTER = "https://cluster.example"

AUDIENCE = "tokend"
APPLICATION = "shop-app"
SUBJECT = "system:serviceaccount:shop:checkout"

#: Where a text is changed, in thousandths of its length; how many characters are removed; and the inserted text.
Edit: TypeAlias = tuple[int, int, str]


class Token(TypedDict):
    """The parts of a token: header and claims as JSON text, and its signer."""

    header: str
    claims: str
    encoding: str
    signer: str
    edits: Sequence[Edit]


def edited(text: str, edits: Sequence[Edit]) -> str:
    for thousandths, removed, inserted in edits:
        at = len(text) * thousandths // 1000
        text = text[:at] + inserted + text[at + removed :]
    return text


def compact(token: Token) -> str:
    """Returns the token in compact serialization."""
    header, claims = (_encode(token[part].encode(token["encoding"])) for part in ("header", "claims"))
    signed = f"{header}.{claims}"
    return edited(f"{signed}.{_encode(_sign(signed.encode(), token['signer']))}", token["edits"])


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _sign(signed: bytes, signer: str) -> bytes:
    if signer == "no key":
        return b""
    if signer == "public key":  # an HMAC whose secret everybody knows
        return hmac.digest(ec_key("issuer").as_pem(private=False), signed, "sha256")
    if signer == "rsa":
        return JWSRegistry.algorithms["RS256"].sign(signed, rsa_key("issuer"))
    return JWSRegistry.algorithms["ES256"].sign(signed, ec_key(signer))


@cache
def ec_key(_name: str) -> ECKey:
    """Returns a P-256 key, the same for the same name."""
    return ECKey.import_key(generate_private_key(SECP256R1()))


@cache
def public_keys() -> dict[str, Any]:
    """Returns the JWK Set of both issuers."""
    keys = [jwk(ec_key("issuer"), kid="ec", use="sig"), jwk(rsa_key("issuer"), kid="rsa", use="sig")]
    return {"keys": keys}


class Documents(IssuerHttp):
    """Provides the issuers' documents, without a network."""

    def get(self, url: str, *_arguments: Any, **_options: Any) -> Document:  # noqa: ANN401 - the base class's own
        issuer = url.partition("/.well-known/")[0]
        document = {"issuer": issuer, "jwks_uri": f"{issuer}/jwks"} if issuer != url else public_keys()
        return Document(json.dumps(document).encode(), from_internal=False)
