"""Tokens of callers, and ID tokens of users."""

from collections.abc import Mapping

from tests.fuzz.choices import Choices, Json
from tests.fuzz.inputs.json_text import changed
from tests.fuzz.service import CANARY, PROVIDERS, USERS
from tests.fuzz.tokens import APPLICATION, AUDIENCE, CLUSTER, NOW, SUBJECT

_CLAIMS = ("iss", "aud", "sub", "exp", "iat", "nbf", "azp", "token_use", "jti")
_PARAMETERS = ("alg", "kid", "typ", "crit", "b64", "x5c", "jwk", "jku", "cty", "zip")


def _token(choices: Choices, claims: Mapping[str, Json]) -> Json:
    header, signer = '{"alg":"ES256","kid":"ec"}', "issuer"
    if choices.rarely(8):
        header, signer = choices.one(
            ('{"alg":"ES256"}', "issuer"),
            ('{"alg":"RS256","kid":"rsa"}', "rsa"),
            ('{"alg":"HS256","kid":"ec"}', "public key"),
            ('{"alg":"none"}', "no key"),
            ('{"alg":"ES256","kid":"ec"}', "stranger"),
            ('{"alg":"ES256","kid":"unknown"}', "issuer"),
            ('{"alg":"RS256","kid":"ec"}', "issuer"),
        )
    elif choices.rarely(4):
        header = changed(choices, {"alg": "ES256", "kid": "ec"}, _PARAMETERS)
    return {
        "header": header,
        "claims": changed(choices, claims, _CLAIMS),
        "encoding": choices.one("utf-8-sig", "utf-16", "utf-32-be") if choices.rarely(30) else "utf-8",
        "signer": signer,
        "edits": choices.edits() if choices.rarely(8) else [],
    }


_DATES = {"exp": NOW + 300, "iat": NOW, "nbf": NOW}


def caller_token(choices: Choices) -> Json:
    """Returns a caller's token."""
    return _token(choices, {"iss": CLUSTER, "aud": [AUDIENCE], "sub": SUBJECT, **_DATES})


def login_token(choices: Choices) -> Json:
    """Returns a user's ID token, and the user identifier that the backend knows."""
    number = choices.number(0, 50)
    subject = (
        choices.text() if choices.rarely(4) else f"us\u00e9r {choices.number(0, 50) if choices.rarely(4) else number}"
    )
    provider = choices.one(*PROVIDERS)
    claims = {"iss": f"https://{provider}", "aud": APPLICATION, "sub": subject, **_DATES}
    return {
        "user": f"{CANARY}-{choices.number(0, 50) if choices.rarely(8) else number}",
        "identity_id": choices.one(*USERS) if choices.rarely(8) else "",
        "provider": provider,
        "token": _token(choices, claims),
    }
