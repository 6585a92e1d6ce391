import dataclasses
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry
from tests.fakes.clock import FakeClock
from tests.fakes.oidc_provider import DISCOVERY_PATH, JWKS_PATH, OidcProvider, ec_key, jwk, rsa_key, sign
from tests.unit.access.authentication.jwt.listener import (
    ABSENT,
    ACCEPTED,
    CALLER,
    Listener,
    Outcome,
    claims_of,
    compact,
    refused,
    segment,
    token_of,
)

from tokend_server.access.authentication.jwt import TokenIssuer
from tokend_server.access.authentication.refusals import Refusal
from tokend_server.oidc.tokens import ALGORITHMS, MAX_TRIED_KEYS, TokenVerifier


def hmac_with_public_key(signed: bytes) -> bytes:
    return hmac.digest(rsa_key("1").as_pem(private=False), signed, hashlib.sha256)


UNACCEPTED_HEADERS: dict[str, tuple[Mapping[str, Any], Callable[[bytes], bytes] | None]] = {
    "none": ({"alg": "none"}, lambda _: b""),
    "nOnE": ({"alg": "nOnE"}, lambda _: b""),
    "no name": ({"alg": ""}, lambda _: b""),
    "none under a good signature": ({"alg": "none"}, None),
    "HS256 by the public key": ({"alg": "HS256"}, hmac_with_public_key),
    "RS512, not pinned": ({"alg": "RS512"}, None),
    "PS256, not pinned": ({"alg": "PS256"}, None),
    "ES384, not pinned": ({"alg": "ES384"}, None),
    "EdDSA": ({"alg": "EdDSA"}, None),
    "rs256": ({"alg": "rs256"}, None),
    "a list": ({"alg": ["RS256"]}, None),
    "a number": ({"alg": 5}, None),
    "null": ({"alg": None}, None),
    "crit known": ({"crit": ["exp"], "exp": 1}, None),
    "crit unknown": ({"crit": ["x"], "x": 1}, None),
    "crit b64": ({"crit": ["b64"], "b64": True}, None),
    "crit empty": ({"crit": []}, None),
    "crit a number": ({"crit": 5}, None),
    "kid a number": ({"kid": 1}, None),
    "kid null": ({"kid": None}, None),
    "kid a list": ({"kid": ["1"]}, None),
    "typ a number": ({"typ": 5}, None),
}


@pytest.mark.parametrize(("header", "signature"), UNACCEPTED_HEADERS.values(), ids=UNACCEPTED_HEADERS)
def test_other_algorithms_and_critical_headers_are_refused_without_a_fetch(
    provider: OidcProvider,
    listener: Listener,
    header: Mapping[str, Any],
    signature: Callable[[bytes], bytes] | None,
) -> None:
    token = compact({"alg": "RS256", "kid": "1", **header}, claims_of(provider), signature)
    assert listener.outcome(token) == refused(Refusal.ALGORITHM)
    assert not provider.fetches


def test_a_public_key_is_not_accepted_as_an_hmac_secret(provider: OidcProvider, listener: Listener) -> None:
    secret = rsa_key("1").as_pem(private=False)
    provider.jwks.append({"kty": "oct", "k": segment(secret), "kid": "hmac"})
    for algorithm, refusal in (("HS256", Refusal.ALGORITHM), ("RS256", Refusal.KEY)):
        token = compact({"alg": algorithm, "kid": "hmac"}, claims_of(provider), hmac_with_public_key)
        assert listener.outcome(token) == refused(refusal)


def test_keys_and_addresses_in_the_header_are_ignored(provider: OidcProvider, listener: Listener) -> None:
    forger = rsa_key("forger")
    header = {
        "alg": "RS256",
        "kid": "1",
        "jwk": jwk(forger, kid="1"),
        "jku": f"{provider.issuer}/forged",
        "x5u": f"{provider.issuer}/forged",
        "x5c": ["MIIB"],
    }
    assert listener.outcome(sign(header, claims_of(provider), forger)) == refused(Refusal.SIGNATURE)
    assert listener.outcome(sign(header, claims_of(provider), rsa_key("1"))) == ACCEPTED
    assert provider.fetches == {DISCOVERY_PATH: 1, JWKS_PATH: 1}


def test_header_members_that_are_not_known_are_ignored(provider: OidcProvider, listener: Listener) -> None:
    header = {"alg": "RS256", "kid": "1", "x": {"y": 1}}
    assert listener.outcome(sign(header, claims_of(provider), rsa_key("1"))) == ACCEPTED


@pytest.mark.parametrize(
    "kid",
    ["../../../../dev/null", "' OR '1'='1", "http://127.0.0.1/jwks", "1\0", "01", "1 ", "", "\u0661", "k" * 4000],
    ids=["path", "SQL", "URL", "NUL", "zero before", "space behind", "empty", "other digit", "long"],
)
def test_an_unusual_key_id_is_treated_as_an_unknown_key(provider: OidcProvider, listener: Listener, kid: str) -> None:
    token = sign({"alg": "RS256", "kid": kid}, claims_of(provider), rsa_key("1"))
    assert listener.outcome(token) == refused(Refusal.KEY)


def test_a_key_id_of_a_mebibyte_is_refused_without_a_fetch(provider: OidcProvider, listener: Listener) -> None:
    token = compact({"alg": "RS256", "kid": "k" * 2**20}, claims_of(provider))
    assert listener.outcome(token) == refused(Refusal.TOO_LONG)
    assert not provider.fetches


UNFIT_KEYS: dict[str, dict[str, Any]] = {
    "pinned to RS512": jwk(rsa_key("1"), kid="1", alg="RS512"),
    "pinned to PS256": jwk(rsa_key("1"), kid="1", alg="PS256"),
    "for encryption": jwk(rsa_key("1"), kid="1", use="enc"),
    "other operation": {**jwk(rsa_key("1"), kid="1"), "key_ops": ["encrypt"]},
    "other type": jwk(ec_key("P-256"), kid="1"),
    "private": {**rsa_key("1").as_dict(private=True), "kid": "1"},
}


@pytest.mark.parametrize("published", UNFIT_KEYS.values(), ids=UNFIT_KEYS)
def test_an_unsuitable_key_is_not_used(provider: OidcProvider, listener: Listener, published: dict[str, Any]) -> None:
    provider.jwks = [published, jwk(rsa_key("3"), kid="3")]
    assert listener.outcome(token_of(provider)) == refused(Refusal.KEY)


@pytest.mark.parametrize("kid", ["1", None], ids=["same id", "no id"])
def test_a_signature_by_another_key_is_refused_as_an_invalid_signature(
    provider: OidcProvider, listener: Listener, kid: str | None
) -> None:
    provider.jwks = [jwk(rsa_key("2"), **({"kid": kid} if kid else {}))]
    assert listener.outcome(token_of(provider)) == refused(Refusal.SIGNATURE)


OTHER_KEY_SETS: dict[str, list[Any]] = {
    "no id": [jwk(rsa_key("1"))],
    "twice": [jwk(rsa_key("1"), kid="1"), jwk(rsa_key("1"), kid="1")],
    "two of one id": [jwk(rsa_key("2"), kid="1"), jwk(ec_key("P-256"), kid="1"), jwk(rsa_key("1"), kid="1")],
    "null members": [{**jwk(rsa_key("1"), kid="1"), "alg": None, "use": None, "key_ops": None, "x5c": None, "d": None}],
    "beside what is no key": [None, "x", {"kty": "OKP"}, {"kty": 5}, jwk(rsa_key("1"), kid="1")],
    "padded": [{**jwk(rsa_key("1"), kid="1"), "e": "AQAB====", "n": "AAAA" + jwk(rsa_key("1"))["n"] + "=="}],
    "more members": [{**jwk(rsa_key("1"), kid="1"), "x5c": [7], "x5t": 5, "key_ops": ["verify", "x"], "exp": 1}],
}


@pytest.mark.parametrize("published", OTHER_KEY_SETS.values(), ids=OTHER_KEY_SETS)
def test_a_key_is_accepted_in_every_form_of_key_set(
    provider: OidcProvider, listener: Listener, published: list[Any]
) -> None:
    provider.jwks = published
    assert listener.outcome(token_of(provider)) == ACCEPTED


def test_at_most_sixteen_keys_that_fit_are_tried(provider: OidcProvider, listener: Listener) -> None:
    keys = [ECKey.generate_key("P-256") for _ in range(MAX_TRIED_KEYS + 1)]
    provider.jwks = [jwk(rsa_key("1")), *map(jwk, keys)]
    sixteenth, seventeenth = (sign({"alg": "ES256"}, claims_of(provider), key) for key in keys[-2:])
    assert listener.outcome(sixteenth) == ACCEPTED
    assert listener.outcome(seventeenth) == refused(Refusal.SIGNATURE)


def test_a_curve_verifies_its_own_algorithm_only(provider: OidcProvider, listener: Listener) -> None:
    provider.jwks = [jwk(ec_key("P-384"), kid="1")]
    token = sign({"alg": "ES256", "kid": "1"}, claims_of(provider), ec_key("P-256"))
    assert listener.outcome(token) == refused(Refusal.KEY)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_each_algorithm_is_accepted_where_it_is_pinned_and_nowhere_else(
    provider: OidcProvider, kubernetes: TokenIssuer, clock: FakeClock, algorithm: str
) -> None:
    key = signing_key(algorithm)
    provider.jwks = [jwk(key, kid="mine")]
    signed = signature_of(algorithm, f"{segment({'alg': algorithm, 'kid': 'mine'})}.{segment(claims_of(provider))}")

    def pinned(algorithms: frozenset[str]) -> Outcome:
        issuer = dataclasses.replace(kubernetes, verifier=TokenVerifier(algorithms))
        return Listener(clock, [issuer]).outcome(signed)

    assert pinned(frozenset({algorithm})) == ACCEPTED
    assert pinned(ALGORITHMS - {algorithm}) == refused(Refusal.ALGORITHM)


def signing_key(algorithm: str) -> Any:  # noqa: ANN401 -- RSAKey or ECKey
    curves = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
    return ec_key(curves[algorithm]) if algorithm in curves else rsa_key("1")


def signature_of(algorithm: str, signing_input: str) -> str:
    signature = JWSRegistry.algorithms[algorithm].sign(signing_input.encode(), signing_key(algorithm))
    return f"{signing_input}.{segment(signature)}"


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_changed_token_is_refused(provider: OidcProvider, listener: Listener, part: int) -> None:
    mine, other = token_of(provider), sign({"alg": "RS256"}, claims_of(provider, sub="admin"), rsa_key("1"))
    parts = mine.split(".")
    parts[part] = other.split(".")[part]
    assert listener.caller(mine) == CALLER
    assert listener.outcome(".".join(parts)) == refused(Refusal.SIGNATURE)


def test_claims_are_checked_after_the_signature(provider: OidcProvider, listener: Listener) -> None:
    forged = sign({"alg": "RS256", "kid": "1"}, claims_of(provider, exp=1, aud=ABSENT), rsa_key("2"))
    assert listener.outcome(forged) == refused(Refusal.SIGNATURE)
