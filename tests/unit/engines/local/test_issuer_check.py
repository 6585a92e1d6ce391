"""All problems of an issuer's documents, as fetched by clouds, at once."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from joserfc.jwk import ECKey
from tests.fakes.clock import FakeClock

from tokend_server.engines.local.issuer_check import IssuerCheck, IssuerFindings
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.model import Secret
from tokend_server.oidc.outbound import Document, FetchFailed, IssuerHttp

ISSUER = "https://tokens.example.com"
DISCOVERY, JWKS = f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/.well-known/jwks.json"
CLOCK = FakeClock()

KEY, OTHER = (ECKey.generate_key("P-256", {"alg": "ES256", "use": "sig"}) for _ in range(2))

METADATA = {
    "issuer": ISSUER,
    "jwks_uri": JWKS,
    "response_types_supported": ["id_token"],
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["ES256"],
}


def jwk(key: ECKey, **changes: str) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": key.thumbprint(), **changes}


def signing_key(key: ECKey, generation: int = 1, signs_from: int = 0) -> SigningKey:
    return SigningKey(key.thumbprint(), SigningAlgorithm.ES256, generation, Secret("pem"), 0, signs_from)


class Published(IssuerHttp):
    """The responses of an issuer: documents by their URLs."""

    def __init__(self, **changes: object) -> None:
        super().__init__(environment={})
        self.documents: dict[str, object] = {
            DISCOVERY: {**METADATA, **{name: value for name, value in changes.items() if value is not None}},
            JWKS: {"keys": [jwk(KEY)]},
        }
        self.media_type = "application/json"
        self.from_internal = False

    def get(self, url: str, *_arguments: object, **_options: object) -> Document:
        found = self.documents.get(url)
        if found is None:
            raise FetchFailed(f"GET {url!r}: status 404")
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        return Document(body, self.from_internal, self.media_type)


def check(published: Published, *keys: SigningKey) -> IssuerFindings:
    return IssuerCheck(ISSUER, {"ES256"}, published, CLOCK).run(keys or [signing_key(KEY)])


def test_valid_documents_have_no_problems() -> None:
    assert check(Published()) == IssuerFindings([], [], 1)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"issuer": f"{ISSUER}/"}, f"discovery: issuer must be {ISSUER}, letter by letter, and is {ISSUER}/"),
        ({"jwks_uri": "http://tokens.example.com/jwks"}, "discovery: jwks_uri must be an https URL"),
        ({"jwks_uri": 1}, "discovery: jwks_uri must be an https URL"),
        ({"response_types_supported": []}, "discovery: response_types_supported must be a list"),
        (
            {"id_token_signing_alg_values_supported": ["RS256"]},
            "discovery: id_token_signing_alg_values_supported must have ES256, which pools sign with",
        ),
    ],
)
def test_invalid_metadata_are_reported(changes: Mapping[str, object], problem: str) -> None:
    (found,) = check(Published(**changes)).problems
    assert found.startswith(problem)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"[" * 100_000, b"\xff"])
def test_documents_other_than_json_objects_are_reported(body: bytes) -> None:
    published = Published()
    published.documents |= {DISCOVERY: body, JWKS: body}
    assert check(published).problems == ["discovery: must be a JSON object", "keys: must be a JSON object"]


def test_all_problems_are_reported_at_once() -> None:
    published = Published(issuer="https://other.example")
    published.media_type = "text/html"
    published.documents[JWKS] = {"keys": [jwk(OTHER), {"kty": "oct", "kid": "x"}]}
    found = check(published).problems
    begins = [
        "discovery: content-type must be application/json, and is text/html",
        "discovery: issuer must be",
        "keys: content-type must be application/json or application/jwk-set+json, and is text/html",
        "keys: key 2 (kid 'x') was ignored: ",
        f"keys: {KEY.thumbprint()}, which is signing, is in the store and not published there: its tokens are refused",
        f"keys: {OTHER.thumbprint()} is published there and not in the store: ",
    ]
    assert [begin for begin, problem in zip(begins, found, strict=True) if not problem.startswith(begin)] == []


def test_without_discovery_the_keys_are_looked_for_where_tokend_has_them() -> None:
    published = Published()
    del published.documents[DISCOVERY]
    found = check(published)
    assert (found.problems, found.keys) == ([f"discovery: GET {DISCOVERY!r}: status 404"], 1)


def test_a_missing_waiting_key_is_reported_with_a_hint_about_caches() -> None:
    (problem,) = check(Published(), signing_key(KEY), signing_key(OTHER, 2, int(CLOCK.now()) + 3600)).problems
    assert problem.startswith(f"keys: {OTHER.thumbprint()}, which is published, ")
    assert problem.endswith("a cache may be older than the key")


def test_a_key_with_the_id_of_another_is_reported() -> None:
    published = Published()
    published.documents[JWKS] = {"keys": [jwk(OTHER, kid=KEY.thumbprint())]}
    assert check(published).problems == [f"keys: {KEY.thumbprint()} is a different key there than in the store"]


def test_a_key_for_another_algorithm_is_reported() -> None:
    published = Published()
    published.documents[JWKS] = {"keys": [jwk(KEY, alg="ES384")]}
    assert "is published for ES384, and signs with ES256" in " ".join(check(published).problems)


def test_a_key_set_without_usable_keys_is_reported() -> None:
    published = Published()
    published.documents[JWKS] = {"keys": []}
    assert check(published).problems[0] == "keys: the JWK Set has no key for RSA or ECDSA signatures"


def test_an_inside_address_is_noted() -> None:
    published = Published()
    published.from_internal = True
    found = check(published)
    assert not found.problems
    assert all("internal address" in note for note in found.notes)
    assert len(found.notes) == 2


def test_a_store_without_keys_is_reported() -> None:
    found = IssuerCheck(ISSUER, {"ES256"}, Published(), CLOCK).run((), "the store has none")
    assert found.problems == ["keys: cannot be compared with the store's: the store has none"]
