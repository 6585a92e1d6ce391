"""Why a token was rejected: each cause with its log message, which contains no secrets."""

import logging
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.oidc_provider import Fault, OidcProvider, jwk, rsa_key, sign
from tests.unit.access.authentication.jwt.listener import NOW, Listener, bearing, claims_of, compact, refresh, token_of

from tokend_server.access.authentication.refusals import LINES_AT_ONCE, LINES_PER_SECOND, REFUSALS_BY_PROBLEM, Refusal
from tokend_server.errors import EngineUnavailable
from tokend_server.oidc.claims import Problem

SECURITY = Path(__file__).parents[5] / "server" / "SECURITY.md"

#: Must not appear in logs.
CANARIES = ("c4n4ry-sub", "c4n4ry-kid", "c4n4ry-iss", "c4n4ry-aud", "c4n4ry-jti")


def signed(provider: OidcProvider, kid: str = "1", **changes: object) -> str:
    claims = claims_of(provider, **{"sub": "c4n4ry-sub", "jti": "c4n4ry-jti"} | changes)
    return sign({"alg": "RS256", "kid": kid}, claims, rsa_key("1"))


def with_another_key(provider: OidcProvider) -> str:
    provider.jwks = [jwk(rsa_key("2"), kid="1")]
    return signed(provider)


def with_unavailable_keys(provider: OidcProvider) -> str:
    provider.fault = Fault.STATUS_500
    return signed(provider)


#: For each cause: a token that is refused for it, and the log message.
CAUSES: dict[Refusal, tuple[Callable[[OidcProvider], str], str]] = {
    Refusal.TOO_LONG: (lambda provider: signed(provider, pad="p" * 9000), "token was refused: too_long"),
    Refusal.MALFORMED: (lambda _: compact({"alg": "RS256"}, b"c4n4ry-sub"), "token was refused: malformed"),
    Refusal.ISSUER: (lambda provider: signed(provider, iss="c4n4ry-iss"), "token was refused: issuer"),
    Refusal.ALGORITHM: (
        lambda provider: compact({"alg": "HS256", "kid": "c4n4ry-kid"}, claims_of(provider)),
        "token of issuer kubernetes was refused: algorithm",
    ),
    Refusal.KEY: (lambda provider: signed(provider, "c4n4ry-kid"), "token of issuer kubernetes was refused: key"),
    Refusal.SIGNATURE: (with_another_key, "token of issuer kubernetes was refused: signature"),
    Refusal.KEYS_UNAVAILABLE: (
        with_unavailable_keys,
        "token of issuer kubernetes was refused: keys_unavailable",
    ),
    Refusal.CLAIMS: (
        lambda provider: signed(provider, sub="c4n4ry-sub\0"),
        "token of issuer kubernetes was refused: claims (sub is malformed)",
    ),
    Refusal.EXPIRED: (
        lambda provider: signed(provider, exp=1.7e9),
        "token of issuer kubernetes was refused: expired (exp is in the past)",
    ),
    Refusal.NOT_YET_VALID: (
        lambda provider: signed(provider, nbf=NOW + 3600),
        "token of issuer kubernetes was refused: not_yet_valid (nbf is in the future)",
    ),
    Refusal.AUDIENCE: (
        lambda provider: signed(provider, aud="c4n4ry-aud"),
        "token of issuer kubernetes was refused: audience (aud names others only)",
    ),
}


def outcome(listener: Listener, token: str) -> list[Refusal]:
    listener.refusals.clear()
    with suppress(EngineUnavailable):
        assert listener.authenticator(bearing(token)) is None
    return list(listener.refusals)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.endswith(".refusals")]


@pytest.mark.parametrize("refusal", CAUSES)
def test_each_cause_is_counted_and_logged_at_info(
    provider: OidcProvider, listener: Listener, caplog: pytest.LogCaptureFixture, refusal: Refusal
) -> None:
    make_token, line = CAUSES[refusal]
    token = make_token(provider)
    with caplog.at_level(logging.INFO):
        assert outcome(listener, token) == [refusal]
    assert lines(caplog) == [f"A caller's {line}"]
    everything = f"{caplog.text} {[vars(record) for record in caplog.records]}"
    assert not any(secret in everything for secret in (*CANARIES, *token.split(".")))


def test_an_unknown_key_during_the_cool_down_is_logged_as_key_not_known_yet(
    provider: OidcProvider, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    refresh(listener, provider)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert outcome(listener, signed(provider, "c4n4ry-kid")) == [Refusal.KEY_NOT_KNOWN_YET]
    assert lines(caplog) == ["A caller's token of issuer kubernetes was refused: key_not_known_yet"]
    assert not any(canary in caplog.text for canary in CANARIES)


def test_every_cause_is_tested() -> None:
    assert CAUSES.keys() | {Refusal.KEY_NOT_KNOWN_YET} == set(Refusal)


def test_every_cause_is_documented() -> None:
    section = SECURITY.read_text(encoding="utf-8").split("| `why` |", 1)[1].split("\n\n", 1)[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(Refusal)


def test_every_problem_of_a_claim_has_a_cause() -> None:
    assert REFUSALS_BY_PROBLEM.keys() == set(Problem)


def test_the_log_lines_of_a_flood_are_limited_for_each_cause(
    provider: OidcProvider, listener: Listener, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for number in range(50):
            assert outcome(listener, token_of(provider, exp=1, jti=str(number))) == [Refusal.EXPIRED]
        outcome(listener, token_of(provider, aud="other"))
        clock.advance(1 / LINES_PER_SECOND)
        outcome(listener, token_of(provider, exp=1))
    causes = [line.split(": ")[1].split(" ")[0] for line in lines(caplog)]
    assert causes == ["expired"] * LINES_AT_ONCE + ["audience", "expired"]
