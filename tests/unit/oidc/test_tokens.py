import base64

import pytest
from tests.fakes.oidc_provider import rsa_key, sign

from tokend_server.model import Secret
from tokend_server.oidc.tokens import MalformedToken, TokenVerifier, read_token


def compact(header: bytes, claims: bytes) -> Secret:
    return Secret(".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (header, claims, b"signed")))


def test_claims_are_read_without_verification() -> None:
    token = sign({"alg": "RS256", "kid": "1"}, {"iss": "https://login.example", "n": 1.5, "é": None}, rsa_key("1"))
    assert read_token(Secret(token)).claims == {"iss": "https://login.example", "n": 1.5, "é": None}


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        (b'{"alg": "RS256", "alg": "ES256"}', b"{}"),
        (b'{"alg": "RS256", "kid": "1", "kid": "1"}', b"{}"),
        (b'{"alg": "RS256", "jwk": {"kty": "RSA", "kty": "EC"}}', b"{}"),
        (b'{"alg": "RS256"}', b'{"sub": "a", "sub": "b"}'),
        (b'{"alg": "RS256"}', b'{"sub": "a", "s\\u0075b": "b"}'),
        (b'{"alg": "RS256"}', b'{"of": {"sub": "a", "sub": "b"}}'),
        (b'{"alg": "RS256", "x": NaN}', b"{}"),
        (b'{"alg": "RS256"}', b'{"exp": -Infinity}'),
        (b'{"alg": "RS256"}', b'{"exp": ' + b"1" * 5000 + b"}"),
        (b'{"alg": "RS256"}', '{"sub": "a"}'.encode("utf-16")),
        (b'{"alg": "RS256"}', b"\xef\xbb\xbf{}"),
        ('{"alg": "RS256"}'.encode("utf-16-le"), b"{}"),
        (b'{"alg": "RS256"} ', b'{"sub": "a"} x'),
        (b'["alg"]', b"{}"),
        (b'{"alg": "RS256"}', b'"alg"'),
        (b'{"alg": "RS256"}', b""),
        (b"[" * 5000, b"{}"),
    ],
)
def test_malformed_tokens_are_rejected(header: bytes, claims: bytes) -> None:
    with pytest.raises(MalformedToken):
        read_token(compact(header, claims))


def test_a_whole_number_has_at_most_300_digits() -> None:
    header = b'{"alg": "RS256"}'
    assert read_token(compact(header, b'{"exp": ' + b"1" * 300 + b"}")).claims == {"exp": int("1" * 300)}
    with pytest.raises(MalformedToken):
        read_token(compact(header, b'{"exp": ' + b"1" * 301 + b"}"))


@pytest.mark.parametrize("algorithms", [[], ["none"], ["HS256"], ["RS256", "HS256"], ["rs256"], ["EdDSA"], [""]])
def test_only_algorithms_of_public_keys_can_be_accepted(algorithms: list[str]) -> None:
    with pytest.raises(ValueError, match="RS256"):
        TokenVerifier(algorithms)
