import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from tests.fakes.clock import FakeClock
from tests.fakes.oidc_provider import JWKS_PATH, Fault, OidcProvider, ec_key, jwk, rsa_key, sign

from tokend_server.clock import Deadline
from tokend_server.engines.local.providers import OPAQUE_PROVIDERS, OpenIdConnectProvider, open_id_connect_provider
from tokend_server.errors import LoginProviderUnavailable, NotAuthorized
from tokend_server.model import Secret
from tokend_server.oidc.issuers import Issuers
from tokend_server.oidc.outbound import IssuerHttp

NAME = "login.example"
OWN_ISSUER = "https://tokend.example"
USER_POOL = "cognito-idp.us-east-1.amazonaws.com/us-east-1_Example"
NOW = 1_800_000_000
SKEW = 300

MALFORMED = "Invalid login token. Not a valid OpenId Connect identity token."
UNVERIFIED = "Invalid login token. Couldn't verify signed token."
WRONG_AUDIENCE = "Token is not from a supported provider of this identity pool."
WRONG_ISSUER = "Invalid login token. Issuer doesn't match providerName"

Verify = Callable[[str], str]

#: A claim to omit.
ABSENT = object()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=NOW + 0.5)


@pytest.fixture
def build(provider: OidcProvider, http: IssuerHttp, clock: FakeClock) -> Callable[[str], OpenIdConnectProvider]:
    """Creates a verifier of the provider's tokens with some name."""
    return lambda name: open_id_connect_provider(
        name,
        ("app", "app-2"),
        provider.issuer,
        own_issuer=OWN_ISSUER,
        skew=SKEW,
        http=http,
        clock=clock,
        issuers=Issuers(clock, 100),
    )


@pytest.fixture
def verify(build: Callable[[str], OpenIdConnectProvider], clock: FakeClock) -> Verify:
    verifier = build(NAME)
    return lambda token: verifier.verify(Secret(token), Deadline(clock)).subject.reveal()


def claims_of(provider: OidcProvider, **changes: object) -> dict[str, Any]:
    claims = {"iss": provider.issuer, "sub": "user-1", "aud": "app", "exp": NOW + 60, "iat": NOW, **changes}
    return {name: value for name, value in claims.items() if value is not ABSENT}


def token_of(provider: OidcProvider, **changes: object) -> str:
    return sign({"alg": "RS256", "kid": "1"}, claims_of(provider, **changes), rsa_key("1"))


def refusal(verify: Verify, token: str) -> str:
    with pytest.raises(NotAuthorized) as caught:
        verify(token)
    assert token not in caught.value.text or not token
    return caught.value.text


def segment(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def compact(header: object, claims: object, signature: Callable[[bytes], bytes] = lambda _: b"") -> str:
    """Returns a token that no library would create."""
    signed = f"{segment(header)}.{segment(claims)}"
    return f"{signed}.{segment(signature(signed.encode()))}"


def rs256(signed: bytes) -> bytes:
    return rsa_key("1").get_op_key("sign").sign(signed, PKCS1v15(), SHA256())


ACCEPTED: dict[str, Mapping[str, Any]] = {
    "plain": {},
    "another client": {"aud": "app-2"},
    "several audiences": {"aud": ["other", "app"]},
    "azp instead of aud": {"azp": "app", "aud": "other"},
    "azp null": {"azp": None},
    "exp with a fraction": {"exp": NOW + 0.25},
    "expired within the grace": {"exp": NOW - SKEW + 1},
    "iat ahead within the grace": {"iat": NOW + SKEW},
    "nbf ahead within the grace": {"nbf": NOW + SKEW},
    "other claims": {"nonce": "n", "token_use": "access", "email_verified": True},
}


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_valid_tokens_are_accepted_and_return_their_subject(
    provider: OidcProvider, verify: Verify, changes: Mapping[str, Any]
) -> None:
    assert verify(token_of(provider, **changes)) == "user-1"


REFUSED: dict[str, tuple[Mapping[str, Any], str]] = {
    "expired": ({"exp": NOW - SKEW}, f"Invalid login token. Token expired: {NOW} >= {NOW - SKEW}"),
    "expired, exp with a fraction": ({"exp": 12.75}, f"Invalid login token. Token expired: {NOW} >= 12"),
    "exp missing": ({"exp": ABSENT}, "Invalid login token. Missing a required claim: exp"),
    "exp null": ({"exp": None}, "Invalid login token. Missing a required claim: exp"),
    "exp a string": ({"exp": str(NOW + 60)}, "Invalid login token. Invalid claim: exp"),
    "exp a boolean": ({"exp": True}, "Invalid login token. Invalid claim: exp"),
    "iat too far ahead": ({"iat": NOW + SKEW + 1}, "Invalid login token. Invalid claim: iat"),
    "iat missing": ({"iat": ABSENT}, "Invalid login token. Missing a required claim: iat"),
    "iat null": ({"iat": None}, "Invalid login token. Missing a required claim: iat"),
    "nbf too far ahead": ({"nbf": NOW + SKEW + 1}, "Invalid login token. Invalid claim: nbf"),
    "sub missing": ({"sub": ABSENT}, "Invalid login token. Missing a required claim: sub"),
    "sub empty": ({"sub": ""}, "Invalid login token. Invalid claim: sub"),
    "sub a number": ({"sub": 7}, "Invalid login token. Invalid claim: sub"),
    "sub not storable": ({"sub": "\ud800"}, "Invalid login token. Invalid claim: sub"),
    "sub with NUL": ({"sub": "user\0"}, "Invalid login token. Invalid claim: sub"),
    "sub too long": ({"sub": "s" * 1025}, "Invalid login token. Invalid claim: sub"),
    "exp after all dates": ({"exp": 10**299}, "Invalid login token. Invalid claim: exp"),
    "nbf null": ({"nbf": None}, "Invalid login token. Invalid claim: nbf"),
    "aud a list with a number": ({"aud": ["app", 7]}, "Invalid login token. Invalid claim: aud"),
    "iss missing": ({"iss": ABSENT}, "Invalid login token. Missing a required claim: iss"),
    "iss of another": ({"iss": "https://login.example"}, WRONG_ISSUER),
    "iss a list": ({"iss": ["https://login.example"]}, WRONG_ISSUER),
    "aud missing": ({"aud": ABSENT}, "Invalid login token. Missing a required claim: aud"),
    "aud missing beside azp": ({"aud": ABSENT, "azp": "app"}, "Invalid login token. Missing a required claim: aud"),
    "aud a number": ({"aud": 7}, "Invalid login token. Invalid claim: aud"),
    "aud empty": ({"aud": []}, WRONG_AUDIENCE),
    "aud of another": ({"aud": "other"}, WRONG_AUDIENCE),
    "aud a prefix": ({"aud": "ap"}, WRONG_AUDIENCE),
    "auds of others": ({"aud": ["other", "another"]}, WRONG_AUDIENCE),
    "azp of another": ({"azp": "other"}, WRONG_AUDIENCE),
    "azp a list": ({"azp": ["app"]}, WRONG_AUDIENCE),
    "Cognito token": (
        {"iss": "https://cognito-identity.amazonaws.com"},
        "Invalid login token. Can't pass in a Cognito token.",
    ),
    "tokend's own token": ({"iss": OWN_ISSUER}, "Invalid login token. Can't pass in a Cognito token."),
    "expired and of another audience": (
        {"exp": 1, "aud": "other"},
        f"Invalid login token. Token expired: {NOW} >= 1",
    ),
}


@pytest.mark.parametrize(("changes", "text"), REFUSED.values(), ids=REFUSED)
def test_claims_are_refused_in_the_words_of_cognito(
    provider: OidcProvider, verify: Verify, changes: Mapping[str, Any], text: str
) -> None:
    assert refusal(verify, token_of(provider, **changes)) == text


@pytest.mark.parametrize("subject", ["a b", "   ", "us\u00e9r", "\U0001f469\u200d\U0001f4bb", "50%:", "s" * 1024])
def test_a_subject_may_contain_any_characters(provider: OidcProvider, verify: Verify, subject: str) -> None:
    assert verify(token_of(provider, sub=subject)) == subject


MALFORMED_TOKENS: dict[str, str] = {
    "empty": "",
    "opaque": "ya29.a0AfH6SMBx",
    "two segments": "e30.e30",
    "five segments": "e30.e30.e30.e30.e30",
    "not base64": "!!!.e30.e30",
    "padded": "eyJhbGciOiJSUzI1NiJ9.e30=.e30",
    "not ASCII": "é.é.é",
    "header without alg": compact({"kid": "1"}, {}),
    "header a list": compact(["alg"], {}),
    "header a string": compact("alg b64", {}),
    "header a number": compact(1, {}),
    "claims a list": compact({"alg": "RS256"}, []),
    "claims not JSON": compact({"alg": "RS256"}, b"{"),
    "claims not UTF-8": compact({"alg": "RS256"}, b'{"sub": "\xff"}'),
    "claim given twice": compact({"alg": "RS256"}, b'{"iss": "a", "iss": "b"}'),
    "NaN": compact({"alg": "RS256"}, b'{"exp": NaN}'),
    "Infinity": compact({"alg": "RS256"}, b'{"exp": Infinity}'),
    "nested too deep": compact({"alg": "RS256"}, b"[" * 30_000),
    "payload not encoded": f"{segment({'alg': 'RS256', 'b64': False})}.x.e30",
}


@pytest.mark.parametrize("token", MALFORMED_TOKENS.values(), ids=MALFORMED_TOKENS)
def test_a_malformed_token_is_rejected_without_a_fetch(provider: OidcProvider, verify: Verify, token: str) -> None:
    assert refusal(verify, token) == MALFORMED
    assert not provider.fetches


def test_a_number_out_of_range_is_no_expiry(provider: OidcProvider, verify: Verify) -> None:
    payload = json.dumps(claims_of(provider)).replace(str(NOW + 60), "1e400").encode()
    token = sign({"alg": "RS256", "kid": "1"}, payload, rsa_key("1"))
    assert refusal(verify, token) == "Invalid login token. Invalid claim: exp"


@pytest.mark.parametrize("algorithm", ["none", "nOnE", "", "HS256", "RS1", "PS256", "EdDSA"])
def test_other_algorithms_are_refused_without_a_fetch(provider: OidcProvider, verify: Verify, algorithm: str) -> None:
    token = compact({"alg": algorithm, "kid": "1"}, claims_of(provider))
    assert refusal(verify, token) == UNVERIFIED
    assert not provider.fetches


@pytest.mark.parametrize("encoding", ["PEM", "DER"])
def test_a_public_key_is_no_hmac_secret(
    provider: OidcProvider, verify: Verify, encoding: Literal["PEM", "DER"]
) -> None:
    secret = rsa_key("1").as_bytes(encoding=encoding, private=False)
    provider.jwks.append({"kty": "oct", "k": segment(secret), "kid": "hmac", "alg": "HS256"})
    for kid in ("1", "hmac"):
        token = compact(
            {"alg": "HS256", "kid": kid},
            claims_of(provider),
            lambda signed: hmac.digest(secret, signed, hashlib.sha256),
        )
        assert refusal(verify, token) == UNVERIFIED


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["b64"], "b64": True},
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": 5},
        {"kid": 5},
        {"typ": 5},
        {"alg": 5},
        {"alg": ["RS256"]},
    ],
)
def test_critical_and_misshapen_headers_are_refused(
    provider: OidcProvider, verify: Verify, extra: Mapping[str, Any]
) -> None:
    token = compact({"alg": "RS256", "kid": "1", **extra}, claims_of(provider), rs256)
    assert refusal(verify, token) == UNVERIFIED
    assert not provider.fetches


def test_unknown_header_members_are_ignored(provider: OidcProvider, verify: Verify) -> None:
    header = {"alg": "RS256", "kid": "1", "typ": "JWT", "ver": 2, "x5c": ["A" * 2000], "b64": True}
    assert verify(compact(header, claims_of(provider), rs256)) == "user-1"


@pytest.mark.parametrize(
    ("algorithm", "curve"),
    [("RS256", ""), ("RS384", ""), ("RS512", ""), ("ES256", "P-256"), ("ES384", "P-384"), ("ES512", "P-521")],
)
def test_each_algorithm_verifies_with_its_own_kind_of_key(
    provider: OidcProvider, verify: Verify, algorithm: str, curve: str
) -> None:
    key = ec_key(curve) if curve else rsa_key("1")
    provider.jwks = [jwk(rsa_key("2"), kid="other"), jwk(key, kid="mine")]
    token = sign({"alg": algorithm, "kid": "mine"}, claims_of(provider), key)
    assert verify(token) == "user-1"
    assert refusal(verify, sign({"alg": algorithm, "kid": "other"}, claims_of(provider), key)) == UNVERIFIED


@pytest.mark.parametrize(
    "published",
    [
        jwk(rsa_key("2"), kid="1"),
        jwk(rsa_key("1"), kid="1", alg="RS512"),
        jwk(rsa_key("1"), kid="1", alg="RSA-OAEP"),
        jwk(ec_key("P-256"), kid="1"),
        {**jwk(rsa_key("1"), kid="1"), "key_ops": ["encrypt"]},
        jwk(rsa_key("1"), kid="01"),
    ],
    ids=["other key", "other alg", "alg for encryption", "other type", "other operation", "other kid"],
)
def test_an_unsuitable_key_is_not_used(provider: OidcProvider, verify: Verify, published: dict[str, Any]) -> None:
    provider.jwks = [published]
    assert refusal(verify, token_of(provider)) == UNVERIFIED


def test_a_curve_verifies_its_own_algorithm_only(provider: OidcProvider, verify: Verify) -> None:
    provider.jwks = [jwk(ec_key("P-384"), kid="1")]
    token = sign({"alg": "ES256", "kid": "1"}, claims_of(provider), ec_key("P-256"))
    assert refusal(verify, token) == UNVERIFIED


@pytest.mark.parametrize("part", [1, 2])
def test_a_changed_token_is_refused(provider: OidcProvider, verify: Verify, part: int) -> None:
    segments = token_of(provider).split(".")
    segments[part] = token_of(provider, sub="user-2").split(".")[part]
    assert refusal(verify, ".".join(segments)) == UNVERIFIED


@pytest.mark.parametrize("signature", ["", "!", "AA=="])
def test_a_misshapen_signature_is_refused(provider: OidcProvider, verify: Verify, signature: str) -> None:
    token = token_of(provider)
    assert refusal(verify, f"{token.rpartition('.')[0]}.{signature}") == UNVERIFIED


def test_without_a_key_id_the_only_key_for_the_algorithm_is_used(provider: OidcProvider, verify: Verify) -> None:
    provider.jwks = [jwk(rsa_key("1"), kid="1"), jwk(ec_key("P-256"), kid="2"), jwk(ec_key("P-384"), kid="3")]
    assert verify(sign({"alg": "RS256"}, claims_of(provider), rsa_key("1"))) == "user-1"
    assert verify(sign({"alg": "ES256"}, claims_of(provider), ec_key("P-256"))) == "user-1"


def test_without_a_key_id_each_key_for_the_algorithm_is_tried(provider: OidcProvider, verify: Verify) -> None:
    provider.jwks = [jwk(rsa_key("2"), kid="2"), jwk(rsa_key("1"), kid="1")]
    assert verify(sign({"alg": "RS256"}, claims_of(provider), rsa_key("1"))) == "user-1"


def test_claims_are_checked_after_the_signature(provider: OidcProvider, verify: Verify) -> None:
    forged = sign({"alg": "RS256", "kid": "1"}, claims_of(provider, exp=1, aud=ABSENT), rsa_key("2"))
    assert refusal(verify, forged) == UNVERIFIED


def test_a_token_of_another_issuer_makes_no_fetch(provider: OidcProvider, verify: Verify) -> None:
    assert refusal(verify, token_of(provider, iss="https://other.example")) == WRONG_ISSUER
    assert not provider.fetches


def test_keys_are_fetched_once_for_many_tokens(provider: OidcProvider, verify: Verify) -> None:
    for number in range(5):
        assert verify(token_of(provider, sub=f"user-{number}")) == f"user-{number}"
    assert provider.fetches[JWKS_PATH] == 1


def test_an_unreachable_provider_is_named(provider: OidcProvider, verify: Verify) -> None:
    provider.fault = Fault.STATUS_500
    token = token_of(provider)
    with pytest.raises(LoginProviderUnavailable, match=NAME) as caught:
        verify(token)
    assert token not in caught.value.text


def test_the_claims_of_a_token_are_returned_and_not_shown(
    provider: OidcProvider, build: Callable[[str], OpenIdConnectProvider], clock: FakeClock
) -> None:
    user = build(NAME).verify(Secret(token_of(provider, department="sales")), Deadline(clock))
    assert user.claims == claims_of(provider, department="sales")
    assert "user-1" not in repr(user)
    assert "sales" not in repr(user)


def test_a_user_pool_accepts_only_id_tokens(
    provider: OidcProvider, build: Callable[[str], OpenIdConnectProvider], clock: FakeClock
) -> None:
    user_pool = build(USER_POOL)

    def verify(token: str) -> str:
        return user_pool.verify(Secret(token), Deadline(clock)).subject.reveal()

    assert verify(token_of(provider, token_use="id")) == "user-1"
    assert verify(token_of(provider)) == "user-1"
    assert refusal(verify, token_of(provider, token_use="access")) == MALFORMED
    assert refusal(verify, token_of(provider, token_use=None)) == MALFORMED
    access_token = token_of(provider, token_use="access", aud=ABSENT, client_id="app")
    assert refusal(verify, access_token) == "Invalid login token. Missing a required claim: aud"


def test_google_may_leave_the_scheme_out_of_its_name(
    provider: OidcProvider, verify: Verify, build: Callable[[str], OpenIdConnectProvider], clock: FakeClock
) -> None:
    token = token_of(provider, iss="accounts.google.com")
    assert build("accounts.google.com").verify(Secret(token), Deadline(clock)).subject.reveal() == "user-1"
    assert refusal(verify, token) == WRONG_ISSUER


def declared(name: str, client_ids: tuple[str, ...], issuer: str | None = None) -> OpenIdConnectProvider:
    clock = FakeClock()
    issuers = Issuers(clock, 100)
    return open_id_connect_provider(
        name, client_ids, issuer, own_issuer=OWN_ISSUER, skew=SKEW, http=IssuerHttp(), clock=clock, issuers=issuers
    )


def test_the_issuer_is_the_provider_name_behind_https() -> None:
    built = declared(USER_POOL, ("app",))
    assert built.issuers == (f"https://{USER_POOL}",)


def test_a_provider_without_client_ids_is_refused() -> None:
    with pytest.raises(ValueError, match="client id"):
        declared(NAME, ())


def test_a_remote_issuer_without_tls_is_refused() -> None:
    with pytest.raises(ValueError, match="https"):
        declared(NAME, ("app",), "http://login.example")


def test_the_opaque_providers_are_facebook_amazon_twitter_and_digits() -> None:
    assert {"graph.facebook.com", "www.amazon.com", "api.twitter.com", "www.digits.com"} == OPAQUE_PROVIDERS
