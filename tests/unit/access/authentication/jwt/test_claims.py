import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.fakes.oidc_provider import OidcProvider
from tests.unit.access.authentication.jwt.listener import (
    ABSENT,
    ACCEPTED,
    NOW,
    SKEW,
    SUBJECT,
    Listener,
    bearing,
    claims_of,
    compact,
    refused,
    segment,
    token_of,
)

from tokend_server.access.authentication.presented import PresentedCredentials
from tokend_server.access.authentication.refusals import Refusal
from tokend_server.errors import CallerUnauthenticated
from tokend_server.model import Secret


def test_a_service_account_is_named_after_its_issuer_and_subject(provider: OidcProvider, listener: Listener) -> None:
    assert listener.caller(token_of(provider)) == "jwt:kubernetes:system:serviceaccount:shop:checkout"
    assert not listener.refusals


VALID: dict[str, Mapping[str, Any]] = {
    "one audience": {"aud": "tokend"},
    "another of our audiences": {"aud": "tokend.example"},
    "several audiences": {"aud": ["other", "tokend"]},
    "expired within the skew": {"exp": NOW - SKEW + 1},
    "issued ahead within the skew": {"iat": NOW + SKEW},
    "not before ahead within the skew": {"nbf": NOW + SKEW},
    "no nbf": {"nbf": ABSENT},
    "exp with a fraction": {"exp": NOW + 60.5},
    "iat and nbf with fractions": {"iat": NOW - 0.25, "nbf": NOW - 0.5},
    "exp in the year 9999": {"exp": 253_402_300_799},
    "exp in a float's own spelling": {"exp": 1.9e9},
    "no iat": {"iat": ABSENT},
    "nbf and iat before the epoch": {"nbf": -62_135_596_800, "iat": -1},
    "other claims": {"azp": "other", "scope": "x", "token_use": "access"},
}


@pytest.mark.parametrize("changes", VALID.values(), ids=VALID)
def test_valid_tokens_are_accepted(provider: OidcProvider, listener: Listener, changes: Mapping[str, Any]) -> None:
    assert listener.outcome(token_of(provider, **changes)) == ACCEPTED


INVALID: dict[str, tuple[Mapping[str, Any], Refusal]] = {
    "expired": ({"exp": NOW - SKEW}, Refusal.EXPIRED),
    "exp missing": ({"exp": ABSENT}, Refusal.CLAIMS),
    "exp null": ({"exp": None}, Refusal.CLAIMS),
    "exp a string": ({"exp": str(NOW + 60)}, Refusal.CLAIMS),
    "exp a boolean": ({"exp": True}, Refusal.CLAIMS),
    "exp a list": ({"exp": [NOW + 60]}, Refusal.CLAIMS),
    "exp 2^63": ({"exp": 2**63}, Refusal.CLAIMS),
    "exp after all dates": ({"exp": 253_402_300_800}, Refusal.CLAIMS),
    "exp negative": ({"exp": -1}, Refusal.EXPIRED),
    "exp a digit string": ({"exp": "123"}, Refusal.CLAIMS),
    "exp an object": ({"exp": {}}, Refusal.CLAIMS),
    "exp of 300 digits": ({"exp": 10**299}, Refusal.CLAIMS),
    "exp a float after all dates": ({"exp": 1e300}, Refusal.CLAIMS),
    "expired, exp a float": ({"exp": 1.7e9}, Refusal.EXPIRED),
    "expired by a fraction": ({"exp": NOW - SKEW + 0.5}, Refusal.EXPIRED),
    "iat null": ({"iat": None}, Refusal.CLAIMS),
    "iat a boolean": ({"iat": True}, Refusal.CLAIMS),
    "iat too far ahead": ({"iat": NOW + SKEW + 1}, Refusal.NOT_YET_VALID),
    "nbf null": ({"nbf": None}, Refusal.CLAIMS),
    "nbf a string": ({"nbf": str(NOW)}, Refusal.CLAIMS),
    "nbf too far ahead": ({"nbf": NOW + SKEW + 1}, Refusal.NOT_YET_VALID),
    "nbf a fraction too far ahead": ({"nbf": NOW + SKEW + 0.75}, Refusal.NOT_YET_VALID),
    "iat in the year 9999": ({"iat": 253_402_300_799}, Refusal.NOT_YET_VALID),
    "aud missing": ({"aud": ABSENT}, Refusal.AUDIENCE),
    "aud null": ({"aud": None}, Refusal.AUDIENCE),
    "aud empty": ({"aud": ""}, Refusal.AUDIENCE),
    "no aud": ({"aud": []}, Refusal.AUDIENCE),
    "aud of another": ({"aud": "other"}, Refusal.AUDIENCE),
    "aud a prefix": ({"aud": "token"}, Refusal.AUDIENCE),
    "aud in other case": ({"aud": "Tokend"}, Refusal.AUDIENCE),
    "auds of others": ({"aud": ["other", "https://kubernetes.default.svc"]}, Refusal.AUDIENCE),
    "aud a number": ({"aud": 7}, Refusal.AUDIENCE),
    "aud an object": ({"aud": {"tokend": 1}}, Refusal.AUDIENCE),
    "aud a list of lists": ({"aud": [["tokend"]]}, Refusal.AUDIENCE),
    "aud a list with a number": ({"aud": ["tokend", 7]}, Refusal.AUDIENCE),
    "sub missing": ({"sub": ABSENT}, Refusal.CLAIMS),
    "sub null": ({"sub": None}, Refusal.CLAIMS),
    "sub empty": ({"sub": ""}, Refusal.CLAIMS),
    "sub a number": ({"sub": 7}, Refusal.CLAIMS),
    "sub ends in a newline": ({"sub": f"{SUBJECT}\n"}, Refusal.CLAIMS),
    "sub with NUL": ({"sub": "user\0"}, Refusal.CLAIMS),
    "sub with DEL": ({"sub": "user\x7f"}, Refusal.CLAIMS),
    "sub with a control character beyond ASCII": ({"sub": "user\x85"}, Refusal.CLAIMS),
    "sub a lone surrogate": ({"sub": "\ud800"}, Refusal.CLAIMS),
    "sub too long": ({"sub": "s" * 1025}, Refusal.CLAIMS),
    "sub too long in UTF-8": ({"sub": "\u00e9" * 512 + "s"}, Refusal.CLAIMS),
    "sub a list": ({"sub": [SUBJECT]}, Refusal.CLAIMS),
    "jti a number": ({"jti": 7}, Refusal.CLAIMS),
    "iss missing": ({"iss": ABSENT}, Refusal.ISSUER),
    "iss null": ({"iss": None}, Refusal.ISSUER),
    "iss a list": ({"iss": ["https://login.example"]}, Refusal.ISSUER),
    "iss of another": ({"iss": "https://login.example"}, Refusal.ISSUER),
}


@pytest.mark.parametrize(("changes", "refusal"), INVALID.values(), ids=INVALID)
def test_invalid_claims_are_refused_with_their_reason(
    provider: OidcProvider, listener: Listener, changes: Mapping[str, Any], refusal: Refusal
) -> None:
    assert listener.outcome(token_of(provider, **changes)) == refused(refusal)


SPELLINGS: dict[str, str] = {
    "s" * 1024: "s" * 1024,
    "\u00e9" * 512: "%C3%A9" * 512,
    "a b": "a%20b",
    "   ": "%20%20%20",
    "us\u00e9r": "us%C3%A9r",
    "use\u0301r": "use%CC%81r",
    "\U0001f680": "%F0%9F%9A%80",
    "\U0001f469\u200d\U0001f4bb": "%F0%9F%91%A9%E2%80%8D%F0%9F%92%BB",
    "user\u202e": "user%E2%80%AE",
    "a\u00a0b": "a%C2%A0b",
    "50%": "50%25",
    "a%20b": "a%2520b",
    "auth0|5f:/?#[]@!$&'()*+,;=\"<>\\^`{}~": "auth0|5f:/?#[]@!$&'()*+,;=\"<>\\^`{}~",
    "https://login.example/users/7": "https://login.example/users/7",
}


@pytest.mark.parametrize(("subject", "spelled"), SPELLINGS.items(), ids=range(len(SPELLINGS)))
def test_a_subject_is_percent_encoded_as_printable_ascii(
    provider: OidcProvider, listener: Listener, subject: str, spelled: str
) -> None:
    assert listener.caller(token_of(provider, sub=subject)) == f"jwt:kubernetes:{spelled}"


def test_an_issuer_must_match_exactly(provider: OidcProvider, listener: Listener) -> None:
    for other in (f"{provider.issuer}/", provider.issuer.upper(), provider.issuer.removeprefix("http://")):
        assert listener.outcome(token_of(provider, iss=other)) == refused(Refusal.ISSUER)
    assert not provider.fetches


MALFORMED: dict[str, str] = {
    "not base64": "~~.e30.e30",
    "two parts": "e30.e30",
    "encrypted": "e30.e30.e30.e30.e30",
    "empty parts": "..",
    "header no JSON": f"{segment(b'{')}.e30.e30",
    "header a list": compact(["alg"], {}),
    "header without alg": compact({"kid": "1"}, {}),
    "claims a list": compact({"alg": "RS256"}, []),
    "claims no JSON": compact({"alg": "RS256"}, b"{"),
    "claims not UTF-8": compact({"alg": "RS256"}, b'{"sub": "\xff"}'),
    "claim given twice": compact({"alg": "RS256"}, b'{"iss": "a", "iss": "b"}'),
    "header member given twice": compact(b'{"alg": "none", "alg": "RS256"}', b"{}"),
    "a number of 301 digits": compact({"alg": "RS256"}, b'{"exp": 1%s}' % (b"0" * 300)),
    "NaN": compact({"alg": "RS256"}, b'{"exp": NaN}'),
    "nested too deep": compact({"alg": "RS256"}, b"[" * 5000),
    "payload not encoded": f"{segment({'alg': 'RS256', 'b64': False})}.x.e30",
}


@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED)
def test_malformed_tokens_are_refused_without_a_fetch(provider: OidcProvider, listener: Listener, token: str) -> None:
    assert listener.outcome(token) == refused(Refusal.MALFORMED)
    assert not provider.fetches


def test_a_valid_token_with_duplicate_members_is_refused(provider: OidcProvider, listener: Listener) -> None:
    header, claims = b'{"alg": "RS256", "kid": "1"}', json.dumps(claims_of(provider)).encode()
    assert listener.outcome(compact(header, claims)) == ACCEPTED
    assert listener.outcome(compact(header[:-1] + b', "kid": "1"}', claims)) == refused(Refusal.MALFORMED)
    assert listener.outcome(compact(header, claims[:-1] + b', "sub": "admin"}')) == refused(Refusal.MALFORMED)


@pytest.mark.parametrize(
    "presented",
    [
        PresentedCredentials(),
        PresentedCredentials(authorization=(Secret("Basic dXNlcjpwYXNzd29yZA=="),)),
        bearing("tokend_c2VjcmV0"),
    ],
    ids=["nothing", "another scheme", "a bearer key"],
)
def test_other_credentials_are_ignored(listener: Listener, presented: PresentedCredentials) -> None:
    assert listener.authenticator(presented) is None
    assert not listener.refusals


def test_two_authorizations_are_refused(provider: OidcProvider, listener: Listener) -> None:
    token = token_of(provider)
    with pytest.raises(CallerUnauthenticated):
        listener.authenticator(bearing(token, token))


def test_a_token_above_8_kib_is_refused(provider: OidcProvider, listener: Listener) -> None:
    padding = 8192 - len(token_of(provider, pad=""))
    fitting = token_of(provider, pad="p" * (padding * 3 // 4))
    assert len(fitting) <= 8192
    assert listener.outcome(fitting) == ACCEPTED
    assert listener.outcome(token_of(provider, pad="p" * (padding * 3 // 4 + 4))) == refused(Refusal.TOO_LONG)
