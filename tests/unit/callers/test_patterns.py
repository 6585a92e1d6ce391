"""Patterns of callers' names: the meaning of stars, invalid patterns, and bounded matching time."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tokend_server.callers.patterns import Pattern, check_pattern, matches

CHECKOUT = "spiffe://acme.internal/ns/shop/sa/checkout"

MATCHING = [
    (CHECKOUT, CHECKOUT),
    ("spiffe://acme.internal/ns/shop/sa/*", CHECKOUT),
    ("spiffe://acme.internal/ns/*/sa/*", CHECKOUT),
    ("spiffe://acme.internal/ns/shop/**", CHECKOUT),
    ("spiffe://**", CHECKOUT),
    ("**", CHECKOUT),
    ("**/checkout", CHECKOUT),
    ("spiffe://*/ns/**", CHECKOUT),
    ("spiffe://acme.internal/ns/shop/sa/check*out", CHECKOUT),
    ("spiffe://acme.internal/ns/shop/sa/checkout*", CHECKOUT),
    ("spiffe://acme.internal/ns/shop/sa/checkout**", CHECKOUT),
    ("dns:*.shop.internal", "dns:a.b.shop.internal"),
    ("key:*", "key:checkout"),
    ("jwt:idp:us%C3%A9r%20*", "jwt:idp:us%C3%A9r%20one"),
    ("jwt:kubernetes:**", "jwt:kubernetes:system:serviceaccount:shop:checkout"),
    ("jwt:kubernetes:system:serviceaccount:shop:*", "jwt:kubernetes:system:serviceaccount:shop:checkout"),
    ("*a*a", "aaa"),
    ("**a/*b", "a/xa/b"),
    ("*", ""),
]

NOT_MATCHING = [
    ("spiffe://acme.internal/ns/shop/sa/checkout", CHECKOUT + "-2"),
    ("spiffe://acme.internal/ns/shop/sa/checkout", "x" + CHECKOUT),
    ("spiffe://acme.internal/ns/shop/sa/Checkout", CHECKOUT),
    ("spiffe://acme.internal/ns/shop/*", CHECKOUT),
    ("spiffe://acme.internal/*/checkout", CHECKOUT),
    ("*", CHECKOUT),
    ("*", "key:checkout"),
    ("spiffe://*", CHECKOUT),
    ("spiffe://acme.internal/**/batch", CHECKOUT),
    ("spiffe://acme.internal/ns/shop/sa/*", "spiffe://acme.internal.evil.test/ns/shop/sa/checkout"),
    ("spiffe://acme.internal*/ns/shop/sa/checkout", "spiffe://acme.internal/x/ns/shop/sa/checkout"),
    ("dns:a.internal", "dns:aXinternal"),
    ("key:[a-z]", "key:a"),
    ("key:?", "key:a"),
    ("key:(a|b)", "key:a"),
    ("jwt:kubernetes:*", "jwt:kubernetes:system:serviceaccount:shop:checkout"),
    ("key:checkout", "key:checkout\n"),
    ("key:*x", "key:x\n"),
]


@pytest.mark.parametrize(("pattern", "name"), MATCHING)
def test_a_pattern_matches_the_name(pattern: str, name: str) -> None:
    assert matches(pattern, name)


@pytest.mark.parametrize(("pattern", "name"), NOT_MATCHING)
def test_a_pattern_does_not_match_the_name(pattern: str, name: str) -> None:
    assert not matches(pattern, name)


def as_expression(pattern: str) -> str:
    stars = {"*": "[^/:]*", "**": "(?s:.*)"}
    return "".join(stars.get(piece) or re.escape(piece) for piece in re.split(r"(\*\*|\*)", pattern))


@settings(max_examples=500)
@given(
    pieces=st.lists(st.sampled_from(["*", "**", "a", "b", "/", ":", "ab", "a/"]), min_size=1, max_size=7),
    name=st.text("ab/:", max_size=10),
)
def test_patterns_match_like_the_equivalent_regular_expression(pieces: list[str], name: str) -> None:
    pattern = re.sub(r"\*{3,}", "**", "".join(pieces))
    assert matches(pattern, name) == (re.fullmatch(as_expression(pattern), name) is not None)


@given(name=st.text(min_size=1))
@example("\n")
def test_two_stars_match_every_name_and_a_plain_name_matches_only_itself(name: str) -> None:
    assert matches("**", name)
    if re.fullmatch("[!-)+-~]+", name) and "%" not in name:
        assert matches(name, name)
        assert not matches(name, name + "x")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("stars", ["*a", "**a", "*aa**a"])
def test_a_hostile_pattern_is_matched_in_bounded_time(stars: str) -> None:
    assert not matches(stars * 40 + "b", "a" * 2000)
    assert matches(stars * 40 + "**", "a" * 2000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "***",
        "key:****",
        "key: a",
        "key:\ta",
        "key:a\n",
        "key:\x00",
        "key:\x7f",
        "key:\u2028",
        "key:\u00a0",
        "jwt:idp:é",
    ],
)
def test_an_invalid_pattern_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|stars|white space"):
        check_pattern(text)
    with pytest.raises(ValueError, match=r"pattern|stars|white space"):
        Pattern(text)


@pytest.mark.parametrize("text", ["*", "**", "a**b*", "*/**", "jwt:idp:us%C3%A9r%20%25*"])
def test_a_checked_pattern_is_returned_as_it_is(text: str) -> None:
    assert check_pattern(text) == text


def test_a_pattern_shows_its_text() -> None:
    assert repr(Pattern("key:*")) == "Pattern('key:*')"
