import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.fakes.oidc_provider import OidcProvider
from tests.unit.callers.tokens.listener import (
    ABSENT,
    ACCEPTED,
    NOW,
    SUBJECT,
    Listener,
    bearing,
    claims_of,
    compact,
    refused,
    segment,
    token_of,
)

from tokend_server.callers.presented import Presented
from tokend_server.callers.tokens import (
    SKEW,
    Refusal,
)
from tokend_server.errors import CallerUnauthenticated
from tokend_server.model import Secret


def test_a_service_account_is_named_after_its_issuer_and_subject(provider: OidcProvider, listener: Listener) -> None:
    assert listener.caller(token_of(provider)) == "jwt:kubernetes:system:serviceaccount:shop:checkout"
    assert not listener.refusals


GOOD: dict[str, Mapping[str, Any]] = {
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
    "other claims": {"azp": "other", "scope": "x", "token_use": "access"},
}


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD)
def test_good_tokens_are_accepted(provider: OidcProvider, listener: Listener, changes: Mapping[str, Any]) -> None:
    assert listener.outcome(token_of(provider, **changes)) == ACCEPTED


BAD: dict[str, tuple[Mapping[str, Any], Refusal]] = {
    "expired": ({"exp": NOW - SKEW}, Refusal.EXPIRED),
    "exp missing": ({"exp": ABSENT}, Refusal.CLAIMS),
    "exp null": ({"exp": None}, Refusal.CLAIMS),
    "exp a string": ({"exp": str(NOW + 60)}, Refusal.CLAIMS),
    "exp a boolean": ({"exp": True}, Refusal.CLAIMS),
    "exp a list": ({"exp": [NOW + 60]}, Refusal.CLAIMS),
    "exp 2^63": ({"exp": 2**63}, Refusal.CLAIMS),
    "exp after all dates": ({"exp": 253_402_300_800}, Refusal.CLAIMS),
    "exp negative": ({"exp": -1}, Refusal.CLAIMS),
    "iat missing": ({"iat": ABSENT}, Refusal.CLAIMS),
    "iat null": ({"iat": None}, Refusal.CLAIMS),
    "iat a boolean": ({"iat": True}, Refusal.CLAIMS),
    "iat too far ahead": ({"iat": NOW + SKEW + 1}, Refusal.CLAIMS),
    "nbf null": ({"nbf": None}, Refusal.CLAIMS),
    "nbf a string": ({"nbf": str(NOW)}, Refusal.CLAIMS),
    "nbf too far ahead": ({"nbf": NOW + SKEW + 1}, Refusal.CLAIMS),
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
    "sub with a space": ({"sub": "a b"}, Refusal.CLAIMS),
    "sub ends in a newline": ({"sub": f"{SUBJECT}\n"}, Refusal.CLAIMS),
    "sub with NUL": ({"sub": "user\0"}, Refusal.CLAIMS),
    "sub with DEL": ({"sub": "user\x7f"}, Refusal.CLAIMS),
    "sub not ASCII": ({"sub": "us\u00e9r"}, Refusal.CLAIMS),
    "sub turned round": ({"sub": "user\u202e"}, Refusal.CLAIMS),
    "sub a lone surrogate": ({"sub": "\ud800"}, Refusal.CLAIMS),
    "sub too long": ({"sub": "s" * 1025}, Refusal.CLAIMS),
    "jti a number": ({"jti": 7}, Refusal.CLAIMS),
    "iss missing": ({"iss": ABSENT}, Refusal.ISSUER),
    "iss null": ({"iss": None}, Refusal.ISSUER),
    "iss a list": ({"iss": ["https://login.example"]}, Refusal.ISSUER),
    "iss of another": ({"iss": "https://login.example"}, Refusal.ISSUER),
}


@pytest.mark.parametrize(("changes", "refusal"), BAD.values(), ids=BAD)
def test_bad_claims_name_no_caller(
    provider: OidcProvider, listener: Listener, changes: Mapping[str, Any], refusal: Refusal
) -> None:
    assert listener.outcome(token_of(provider, **changes)) == refused(refusal)


def test_a_subject_may_have_1024_characters(provider: OidcProvider, listener: Listener) -> None:
    assert listener.caller(token_of(provider, sub="s" * 1024)) == f"jwt:kubernetes:{'s' * 1024}"


def test_an_issuer_is_matched_to_the_last_character(provider: OidcProvider, listener: Listener) -> None:
    for other in (f"{provider.issuer}/", provider.issuer.upper(), provider.issuer.removeprefix("http://")):
        assert listener.outcome(token_of(provider, iss=other)) == refused(Refusal.ISSUER)
    assert not provider.fetches


MALFORMED: dict[str, str] = {
    "not base64": "~~.e30.e30",
    "empty parts": "..",
    "header no JSON": f"{segment(b'{')}.e30.e30",
    "header a list": compact(["alg"], {}),
    "header without alg": compact({"kid": "1"}, {}),
    "claims a list": compact({"alg": "RS256"}, []),
    "claims no JSON": compact({"alg": "RS256"}, b"{"),
    "claims not UTF-8": compact({"alg": "RS256"}, b'{"sub": "\xff"}'),
    "claim given twice": compact({"alg": "RS256"}, b'{"iss": "a", "iss": "b"}'),
    "header member given twice": compact(b'{"alg": "none", "alg": "RS256"}', b"{}"),
    "NaN": compact({"alg": "RS256"}, b'{"exp": NaN}'),
    "nested too deep": compact({"alg": "RS256"}, b"[" * 5000),
    "payload not encoded": f"{segment({'alg': 'RS256', 'b64': False})}.x.e30",
}


@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED)
def test_malformed_tokens_are_refused_without_a_fetch(provider: OidcProvider, listener: Listener, token: str) -> None:
    assert listener.outcome(token) == refused(Refusal.MALFORMED)
    assert not provider.fetches


def test_members_given_twice_spoil_a_good_token(provider: OidcProvider, listener: Listener) -> None:
    header, claims = b'{"alg": "RS256", "kid": "1"}', json.dumps(claims_of(provider)).encode()
    assert listener.outcome(compact(header, claims)) == ACCEPTED
    assert listener.outcome(compact(header[:-1] + b', "kid": "1"}', claims)) == refused(Refusal.MALFORMED)
    assert listener.outcome(compact(header, claims[:-1] + b', "sub": "admin"}')) == refused(Refusal.MALFORMED)


@pytest.mark.parametrize(
    "presented",
    [
        Presented(),
        Presented(authorization=(Secret("Basic dXNlcjpwYXNzd29yZA=="),)),
        bearing("tokend_c2VjcmV0"),
        bearing("e30.e30"),
        bearing("e30.e30.e30.e30.e30"),
    ],
    ids=["nothing", "another scheme", "a bearer key", "two parts", "encrypted"],
)
def test_what_is_no_token_of_this_kind_is_left_to_others(listener: Listener, presented: Presented) -> None:
    assert listener.way(presented) is None
    assert not listener.refusals


def test_two_authorizations_are_refused(provider: OidcProvider, listener: Listener) -> None:
    token = token_of(provider)
    with pytest.raises(CallerUnauthenticated):
        listener.way(bearing(token, token))


def test_a_token_above_8_kib_is_refused(provider: OidcProvider, listener: Listener) -> None:
    padding = 8192 - len(token_of(provider, pad=""))
    fitting = token_of(provider, pad="p" * (padding * 3 // 4))
    assert len(fitting) <= 8192
    assert listener.outcome(fitting) == ACCEPTED
    assert listener.outcome(token_of(provider, pad="p" * (padding * 3 // 4 + 4))) == refused(Refusal.MALFORMED)
