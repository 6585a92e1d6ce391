"""The common parser of claims: what it accepts from any token, and the differences between kinds of tokens."""

from typing import Any

import pytest

from tokend_server.oidc.claims import ClaimRefused, ClaimRules, Claims, Problem, read_claims
from tokend_server.oidc.tokens import VerifiedClaims

NOW = 1_800_000_000.5
SKEW = 7.0

OF_CALLERS = ClaimRules(audiences=("tokend", "other"), skew=SKEW)
OF_LOGINS = ClaimRules(audiences=("tokend", "other"), skew=SKEW, required=frozenset({"iat"}), by_authorized_party=True)

#: A claim to omit.
ABSENT = object()


def claims_of(**changes: object) -> VerifiedClaims:
    claims = {"iss": "https://i.example", "sub": "user", "aud": "tokend", "exp": 1_800_000_060, "iat": 1_800_000_000}
    return VerifiedClaims({name: value for name, value in {**claims, **changes}.items() if value is not ABSENT})


def problem_of(claims: VerifiedClaims, rules: ClaimRules) -> tuple[Problem, str]:
    with pytest.raises(ClaimRefused) as caught:
        read_claims(claims, rules, NOW)
    return caught.value.problem, caught.value.claim


VALID: dict[str, dict[str, Any]] = {
    "whole seconds": {},
    "fractions": {"exp": NOW + 0.25, "iat": NOW - 0.25, "nbf": NOW - 0.5},
    "within the skew": {"exp": NOW - SKEW + 0.25, "iat": NOW + SKEW, "nbf": NOW + SKEW},
    "dates before the epoch": {"iat": -1, "nbf": -62_135_596_800.0},
    "the last date, and the first": {"exp": 253_402_300_799, "nbf": -253_402_300_799},
    "audiences": {"aud": ["x", "tokend"]},
    "the same audience twice": {"aud": ["tokend", "tokend"]},
    "a space": {"sub": " "},
    "beyond ASCII": {"sub": "\U0001f469\u200d\U0001f4bb \u00e9%:\u202e"},
    "1,024 octets": {"sub": "\u00e9" * 512},
    "a URI": {"sub": "spiffe://acme.example/x", "aud": ["urn:x", "tokend"]},
}


@pytest.mark.parametrize("changes", VALID.values(), ids=VALID)
@pytest.mark.parametrize("rules", [OF_CALLERS, OF_LOGINS], ids=["caller", "login"])
def test_valid_claims_are_accepted_in_every_kind_of_token(rules: ClaimRules, changes: dict[str, Any]) -> None:
    claims = claims_of(**changes)
    assert read_claims(claims, rules, NOW) == Claims(claims["sub"], claims["exp"])


_WRONG_DATES: list[Any] = [
    "123",
    "",
    True,
    False,
    [],
    {},
    10**299,
    -(10**299),
    1e300,
    float("inf"),
    float("nan"),
    2**63,
    253_402_300_800,
    -253_402_300_800,
]
_WRONG_SUBJECTS: list[Any] = [
    "",
    7,
    True,
    ["user"],
    {},
    "\0",
    "a\n",
    "\x7f",
    "\x85",
    "\ud800",
    "s" * 1025,
    "\u00e9" * 513,
]
_WRONG_AUDIENCES: list[Any] = [1, True, {"tokend": 1}, [1], ["tokend", 7], [None], [["tokend"]]]

MALFORMED: list[tuple[str, Any]] = [
    *((name, value) for name in ("exp", "iat", "nbf") for value in _WRONG_DATES),
    *(("sub", value) for value in _WRONG_SUBJECTS),
    *(("aud", value) for value in _WRONG_AUDIENCES),
    *(("jti", value) for value in (7, None, ["x"])),
    ("nbf", None),
]


@pytest.mark.parametrize(("name", "value"), MALFORMED, ids=[f"{name} {value!r:.20}" for name, value in MALFORMED])
@pytest.mark.parametrize("rules", [OF_CALLERS, OF_LOGINS], ids=["caller", "login"])
def test_malformed_claims_are_refused_in_every_kind_of_token(rules: ClaimRules, name: str, value: object) -> None:
    assert problem_of(claims_of(**{name: value}), rules) == (Problem.MALFORMED, name)


REJECTED: list[tuple[dict[str, Any], Problem, str]] = [
    ({"exp": NOW - SKEW}, Problem.EXPIRED, "exp"),
    ({"exp": 1.7e9}, Problem.EXPIRED, "exp"),
    ({"exp": -1}, Problem.EXPIRED, "exp"),
    ({"nbf": NOW + SKEW + 0.25}, Problem.NOT_YET_VALID, "nbf"),
    ({"iat": NOW + SKEW + 0.25}, Problem.NOT_YET_VALID, "iat"),
    ({"iat": 253_402_300_799}, Problem.NOT_YET_VALID, "iat"),
    ({"aud": []}, Problem.FOR_OTHERS, "aud"),
    ({"aud": ""}, Problem.FOR_OTHERS, "aud"),
    ({"aud": "token"}, Problem.FOR_OTHERS, "aud"),
    ({"aud": ["x", "Tokend"]}, Problem.FOR_OTHERS, "aud"),
    *(({name: value}, Problem.MISSING, name) for name in ("aud", "exp", "sub") for value in (ABSENT, None)),
    ({"exp": 1, "nbf": NOW + 60, "aud": "x"}, Problem.EXPIRED, "exp"),
    ({"exp": 1, "sub": 7}, Problem.MALFORMED, "sub"),
    ({"exp": "1", "sub": ABSENT}, Problem.MISSING, "sub"),
]


@pytest.mark.parametrize(("changes", "problem", "name"), REJECTED, ids=range(len(REJECTED)))
@pytest.mark.parametrize("rules", [OF_CALLERS, OF_LOGINS], ids=["caller", "login"])
def test_other_audiences_and_times_are_rejected_in_every_kind_of_token(
    rules: ClaimRules, changes: dict[str, Any], problem: Problem, name: str
) -> None:
    assert problem_of(claims_of(**changes), rules) == (problem, name)


def test_the_first_missing_claim_by_name_is_reported() -> None:
    required = frozenset(f"claim {number:02}" for number in range(100))
    rules = ClaimRules(audiences=("tokend",), skew=SKEW, required=required)
    assert problem_of(claims_of(), rules) == (Problem.MISSING, "claim 00")


def test_only_id_tokens_need_iat() -> None:
    assert read_claims(claims_of(iat=ABSENT), OF_CALLERS, NOW).subject == "user"
    assert problem_of(claims_of(iat=ABSENT), OF_LOGINS) == (Problem.MISSING, "iat")


def test_azp_replaces_aud_only_in_id_tokens() -> None:
    of_another = claims_of(azp="another")
    assert read_claims(of_another, OF_CALLERS, NOW).subject == "user"
    assert problem_of(of_another, OF_LOGINS) == (Problem.FOR_OTHERS, "aud")
    for_another = claims_of(azp="tokend", aud="another")
    assert read_claims(for_another, OF_LOGINS, NOW).subject == "user"
    assert problem_of(for_another, OF_CALLERS) == (Problem.FOR_OTHERS, "aud")
    for odd in (7, ["tokend"], {"tokend": 1}, ""):
        assert problem_of(claims_of(azp=odd), OF_LOGINS) == (Problem.FOR_OTHERS, "aud")
