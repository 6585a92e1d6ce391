import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokend_server.engines.cognito.unverified_token import TokenFacts, read_unverified
from tokend_server.model import Secret
from tokend_server.oidc.tokens import MalformedToken

LAST_DATE = 253_402_300_799

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["exp", "iat", "alg"]), inner),
    max_leaves=5,
)


def part(content: object) -> str:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def token(claims: object, header: object = None) -> Secret:
    return Secret(f"{part({'alg': 'RS512'} if header is None else header)}.{part(claims)}.c2ln")


def facts_or_none(text: str) -> TokenFacts | None:
    try:
        return read_unverified(Secret(text))
    except MalformedToken:
        return None


@given(text=st.text() | st.text("eyJ.-_=+/ \n\ud800é", max_size=30) | st.text(st.characters(codec=None), max_size=20))
def test_any_text_is_parsed_or_rejected_as_malformed(text: str) -> None:
    facts_or_none(text)


@settings(max_examples=300)
@given(header=JSON | st.binary(max_size=10), claims=JSON | st.binary(max_size=10))
def test_the_facts_of_any_token_have_valid_types(header: object, claims: object) -> None:
    facts = facts_or_none(token(claims, header).reveal())
    if facts is not None:
        assert 0 <= facts.expire_time <= LAST_DATE
        assert facts.issued_at is None or 0 <= facts.issued_at <= LAST_DATE
        assert facts.algorithm in {"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "unknown"}
        assert facts.key_id is None or isinstance(facts.key_id, str)


@given(iat=st.integers(0, LAST_DATE), exp=st.integers(0, LAST_DATE), more=st.dictionaries(st.text(), st.text()))
def test_iat_exp_and_alg_are_read_from_a_token(iat: int, exp: int, more: dict[str, str]) -> None:
    assert read_unverified(token(more | {"iat": iat, "exp": exp})) == TokenFacts(iat, exp, "RS512", None)


@pytest.mark.parametrize("exp", [None, True, False, "1800000000", "", -1, -0.5, 2**63, 2**70, 1e300, [1], {}])
def test_a_token_with_an_invalid_exp_is_rejected(exp: Any) -> None:  # noqa: ANN401 - JSON
    with pytest.raises(MalformedToken):
        read_unverified(token({"exp": exp, "iat": 1}))


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e400"])
def test_numbers_outside_json_are_not_dates(number: bytes) -> None:
    with pytest.raises(MalformedToken):
        read_unverified(token(b'{"exp":' + number + b"}"))


@pytest.mark.parametrize(("exp", "read"), [(0, 0), (1.9, 1), (1.8e9, 1_800_000_000), (LAST_DATE, LAST_DATE)])
def test_a_fractional_exp_is_rounded_down(exp: float, read: int) -> None:
    assert read_unverified(token({"exp": exp})).expire_time == read


@pytest.mark.parametrize("iat", [None, True, "1", -1, 2**63, [1], {"a": 1}])
def test_an_invalid_iat_is_ignored(iat: Any) -> None:  # noqa: ANN401 - JSON
    assert read_unverified(token({"exp": 9, "iat": iat})) == TokenFacts(None, 9, "RS512", None)


@pytest.mark.parametrize(("kid", "key_id"), [("us-east-1-3", "us-east-1-3"), (None, None), (3, None), (["k"], None)])
def test_a_key_id_is_a_text(kid: object, key_id: str | None) -> None:
    assert read_unverified(token({"exp": 9}, {"alg": "RS512", "kid": kid})).key_id == key_id


@pytest.mark.parametrize("algorithm", [None, 1, ["RS512"], {"RS512": 1}, "none", "HS256", "rs512", "", "RS512 "])
def test_an_algorithm_that_no_provider_signs_with_is_unknown(algorithm: Any) -> None:  # noqa: ANN401 - JSON
    assert read_unverified(token({"exp": 9}, {"alg": algorithm})).algorithm == "unknown"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "...",
        "no-token",
        f"{part({})}.{part({'exp': 1})}",
        f"{part({})}.{part({'exp': 1})}.c2ln.c2ln",
        f"{part([])}.{part({'exp': 1})}.c2ln",
        f"{part({})}.{part([{'exp': 1}])}.c2ln",
        f"{part({})}.{part({'exp': 1})}!.c2ln",
        f"{part({})}.{part(b'[' * 100_000)}.c2ln",
        f"{part({})}.{part(bytes([0xFF, 0xFE]))}.c2ln",
    ],
    ids=range(12),
)
def test_a_malformed_token_is_rejected_without_its_text(text: str) -> None:
    with pytest.raises(MalformedToken) as caught:
        read_unverified(Secret(text))
    assert caught.value.args == ()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
