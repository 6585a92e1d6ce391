"""Which tokens a verifier accepts, and its errors for others."""

import asyncio
import base64
import hashlib
import hmac
import json
import math
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.clients.python.verifier.issuer import HEADER, IDENTITY_ID, POOL, claims, token, token_with
from tests.fakes.oidc_provider import OidcProvider, rsa_key, sign

from tokend_client.verifier import KeysUnavailable, TokenRejected, TokenVerifier, VerifiedIdentity
from tokend_client.verifier.token_verifier import TYPES

TAGS = "https://aws.amazon.com/tags"
OTHER_POOL = "local:00000000-0000-4000-8000-000000000000"


def base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def unsigned(header: dict[str, Any], payload: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64url(part) for part in parts)


def by_hmac(issuer: OidcProvider) -> str:
    """Returns a token signed with the public key as if it was a shared secret."""
    secret: bytes = rsa_key("1").as_pem(private=False)
    signed = unsigned(HEADER | {"alg": "HS256"}, claims(issuer.issuer)).rpartition(".")[0]
    return f"{signed}.{base64url(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def test_verify_returns_the_identity_of_a_valid_token(issuer: OidcProvider, verifier: TokenVerifier) -> None:
    issued = now()
    good = token(issuer, exp=issued + 900, iat=issued)
    identity = verifier.verify(good)
    assert identity == asyncio.run(verifier.verify_async(good))
    assert identity == VerifiedIdentity(
        identity_id=IDENTITY_ID,
        identity_pool_id=POOL,
        principal_tags={"team": "red"},
        issue_time=datetime.fromtimestamp(issued, UTC),
        expire_time=datetime.fromtimestamp(issued + 900, UTC),
        claims=claims(issuer.issuer, exp=issued + 900, iat=issued),
    )
    assert "alice" not in repr(identity)


def test_a_token_for_one_of_several_pools_is_accepted(issuer: OidcProvider) -> None:
    verifier = TokenVerifier(issuer.issuer, {POOL, OTHER_POOL})
    assert verifier.verify(token(issuer, aud=OTHER_POOL)).identity_pool_id == OTHER_POOL


@pytest.mark.parametrize("pools", [(), POOL])
def test_a_verifier_must_know_its_pools(pools: Collection[str]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        TokenVerifier("https://issuer.example", pools)


@pytest.mark.parametrize("settings", [{"algorithms": []}, {"algorithms": "RS256"}, {"types": ()}, {"types": "JWT"}])
def test_a_verifier_must_have_something_to_accept(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        TokenVerifier("https://issuer.example", [POOL], **settings)


@pytest.mark.parametrize("leeway", [-1, math.inf, math.nan])
def test_a_negative_or_infinite_leeway_is_rejected(leeway: float) -> None:
    with pytest.raises(ValueError, match="leeway"):
        TokenVerifier("https://issuer.example", [POOL], leeway=leeway)


def test_an_array_of_one_audience_is_as_good_as_a_string(issuer: OidcProvider, verifier: TokenVerifier) -> None:
    assert verifier.verify(token(issuer, aud=[POOL])).identity_pool_id == POOL


def test_a_token_without_tags_has_none(issuer: OidcProvider, verifier: TokenVerifier) -> None:
    assert verifier.verify(token(issuer, **{TAGS: None})).principal_tags == {}


@pytest.mark.parametrize("type_", [*TYPES, "jwt"])
def test_both_token_types_of_tokend_are_accepted(issuer: OidcProvider, verifier: TokenVerifier, type_: str) -> None:
    assert verifier.verify(token_with(issuer, {"typ": type_})).identity_id == IDENTITY_ID


def test_clocks_may_differ_by_the_leeway(issuer: OidcProvider, verifier: TokenVerifier) -> None:
    early = token(issuer, iat=now() + 50, exp=now() + 950)
    assert verifier.verify(early)
    assert verifier.verify(token(issuer, iat=now() - 900, exp=now() - 50))
    strict = TokenVerifier(issuer.issuer, [POOL], leeway=0)
    with pytest.raises(TokenRejected, match="in the future"):
        strict.verify(early)


def now() -> int:
    return int(time.time())


def spliced(good: str, *, payload: bytes | None = None, signature: str | None = None) -> str:
    """Returns a token with another payload or signature."""
    header, own_payload, own_signature = good.split(".")
    return ".".join(
        (
            header,
            own_payload if payload is None else base64url(payload),
            own_signature if signature is None else signature,
        )
    )


Make = Callable[[OidcProvider], str]

#: Tokens by their problems, each with a part of the verifier's error.
REJECTED: dict[str, tuple[Make, str]] = {
    "expired": (lambda issuer: token(issuer, exp=now() - 70, iat=now() - 900), "has expired"),
    "of the future": (lambda issuer: token(issuer, iat=now() + 70), "in the future"),
    "another issuer": (lambda issuer: token(issuer, iss="https://other.example"), "another issuer"),
    "another pool": (lambda issuer: token(issuer, aud=OTHER_POOL), "another identity pool"),
    "two pools": (lambda issuer: token(issuer, aud=[POOL, OTHER_POOL]), "more than one audience"),
    "no user": (lambda issuer: token(issuer, sub=None), "lacks a claim"),
    "no pool": (lambda issuer: token(issuer, aud=None), "lacks a claim"),
    "no issuer": (lambda issuer: token(issuer, iss=None), "lacks a claim"),
    "no expiry": (lambda issuer: token(issuer, exp=None), "lacks a claim"),
    "no issue time": (lambda issuer: token(issuer, iat=None), "lacks a claim"),
    "a number for its user": (lambda issuer: token(issuer, sub=7), "not valid"),
    "a user without a name": (lambda issuer: token(issuer, sub=""), "do not have the format"),
    "methods that are no list": (lambda issuer: token(issuer, amr="authenticated"), "do not have the format"),
    "a boolean as its issue time": (lambda issuer: token(issuer, iat=True), "do not have the format"),
    "a string as its nbf": (lambda issuer: token(issuer, nbf="1"), "do not have the format"),
    "tags of another shape": (lambda issuer: token(issuer, **{TAGS: ["red"]}), "do not have the format"),
    "a tag that is no list": (lambda issuer: token(issuer, **{TAGS: {"principal_tags": {"team": "red"}}}), "format"),
    "a tag without a value": (lambda issuer: token(issuer, **{TAGS: {"principal_tags": {"team": []}}}), "format"),
    "an expiry beyond all dates": (lambda issuer: token(issuer, exp=10**17), "do not have the format"),
    "another type": (lambda issuer: token_with(issuer, {"typ": "at+jwt"}), "another type"),
    "no type": (lambda issuer: token_with(issuer, {"typ": None}), "another type"),
    "no key id": (lambda issuer: token_with(issuer, {"kid": None}), "has no key id"),
    "an unknown key": (lambda issuer: token_with(issuer, {"kid": "2"}), "does not publish"),
    "another key's signature": (lambda issuer: token_with(issuer, {}, key="2"), "signature is not valid"),
    "another token's signature": (
        lambda issuer: spliced(token(issuer), signature=token(issuer, sub="x").rpartition(".")[2]),
        "signature is not valid",
    ),
    "changed claims": (
        lambda issuer: spliced(token(issuer), payload=json.dumps(claims(issuer.issuer, sub="x")).encode()),
        "signature is not valid",
    ),
    "no signature": (lambda issuer: spliced(token(issuer), signature=""), "signature is not valid"),
    "no algorithm": (lambda issuer: unsigned(HEADER | {"alg": "none"}, claims(issuer.issuer)), "algorithm"),
    "an algorithm that is not allowed": (lambda issuer: token_with(issuer, {"alg": "RS384"}), "algorithm"),
    "a public key as a secret": (by_hmac, "algorithm"),
    "nothing": (lambda _: "", "not a JWT"),
    "text": (lambda _: "alice", "not a JWT"),
    "text beyond ASCII": (lambda _: "é.é.é", "not a JWT"),
    "a header without end": (lambda _: f"{base64url(b'[' * 10_000)}.e30.", "not a JWT"),
    "a list for its header": (lambda _: f"{base64url(b'[]')}.e30.", "not a JWT"),
    "too long": (lambda issuer: token(issuer) + "A" * 20_000, "longer than"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_other_tokens_are_rejected_with_the_reason(issuer: OidcProvider, verifier: TokenVerifier, name: str) -> None:
    make, reason = REJECTED[name]
    bad = make(issuer)
    with pytest.raises(TokenRejected, match=reason) as caught:
        verifier.verify(bad)
    assert not [part for part in bad.split(".") if part and part in str(caught.value)]
    with pytest.raises(TokenRejected, match=reason):
        asyncio.run(verifier.verify_async(bad))


def test_other_encodings_of_a_token_are_rejected(issuer: OidcProvider, verifier: TokenVerifier) -> None:
    good = token(issuer)
    other_bits = good[:-1] + chr(ord(good[-1]) + 1)  # the last character of 256 octets has four bits that are zero
    for altered in (other_bits, f"{good}==", f"{good}\n", f"{good[:-9]}!{good[-9:]}", f" {good}", f"{good}é"):
        with pytest.raises(TokenRejected, match="not a JWT"):
            verifier.verify(altered)
    assert verifier.verify(good).identity_id == IDENTITY_ID


@pytest.mark.parametrize(
    "more",
    ['"sub": "local:1"', '"\\u0073ub": "local:1"', '"more": {"a": 1, "a": 2}', '"more": NaN', '"more": [-Infinity]'],
)
def test_claims_are_json_with_unique_members(issuer: OidcProvider, verifier: TokenVerifier, more: str) -> None:
    payload = f"{json.dumps(claims(issuer.issuer))[:-1]}, {more}}}".encode()
    with pytest.raises(TokenRejected, match="not a JWT"):
        verifier.verify(sign(HEADER, payload, rsa_key("1")))


def test_a_header_has_unique_members(issuer: OidcProvider, verifier: TokenVerifier) -> None:
    _, payload, signature = token(issuer).split(".")
    header = base64url(b'{"alg": "none", "alg": "RS256", "kid": "1", "typ": "JWS"}')
    with pytest.raises(TokenRejected, match="not a JWT"):
        verifier.verify(f"{header}.{payload}.{signature}")


def test_without_keys_verification_raises_keys_unavailable(issuer: OidcProvider, verifier: TokenVerifier) -> None:
    good = token(issuer)
    issuer.stop()
    for _ in range(2):
        with pytest.raises(KeysUnavailable):
            verifier.verify(good)
