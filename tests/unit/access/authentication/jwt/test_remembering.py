from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.clock import FakeClock
from tests.fakes.oidc_provider import OidcProvider, rsa_key, sign
from tests.unit.access.authentication.jwt.listener import (
    ACCEPTED,
    CALLER,
    NOW,
    SKEW,
    Listener,
    bearing,
    by_token,
    claims_of,
    refresh,
    refused,
    rotate,
    token_of,
)

from tokend_server.access.authentication.jwt import (
    MAX_VERIFICATION_AGE,
    TokenIssuer,
)
from tokend_server.access.authentication.refusals import Refusal
from tokend_server.errors import EngineUnavailable
from tokend_server.oidc.documents import KeySource
from tokend_server.oidc.issuers import Issuers
from tokend_server.oidc.keys import COOL_DOWN, ProviderKeys
from tokend_server.oidc.outbound import IssuerHttp
from tokend_server.oidc.tokens import TokenVerifier


def test_a_verified_token_is_remembered_for_a_minute(
    provider: OidcProvider, listener: Listener, clock: FakeClock
) -> None:
    clock.advance(-COOL_DOWN)
    listener.caller(token_of(provider, sub="first"))  # fetches the keys
    clock.advance(COOL_DOWN)
    token = token_of(provider)
    assert listener.caller(token) == CALLER
    rotate(provider)
    refresh(listener, provider)

    clock.advance(MAX_VERIFICATION_AGE - 1)
    assert listener.caller(token) == CALLER
    assert listener.outcome(token_of(provider, jti="another")) == refused(Refusal.KEY)
    clock.advance(1)
    with pytest.raises(EngineUnavailable, match="not known yet"):
        listener.caller(token)


def test_repeated_use_does_not_extend_the_cache_time(
    provider: OidcProvider, listener: Listener, clock: FakeClock
) -> None:
    token = token_of(provider)
    assert listener.caller(token) == CALLER
    rotate(provider)
    clock.advance(COOL_DOWN)
    refresh(listener, provider)
    assert listener.caller(token) == CALLER
    clock.advance(MAX_VERIFICATION_AGE - COOL_DOWN)
    assert listener.outcome(token) == refused(Refusal.KEY)


def test_a_token_is_not_remembered_beyond_its_expiry(
    provider: OidcProvider, listener: Listener, clock: FakeClock
) -> None:
    token = token_of(provider, exp=NOW + int(COOL_DOWN) + 2)
    assert listener.caller(token) == CALLER
    rotate(provider)
    clock.advance(COOL_DOWN)
    refresh(listener, provider)
    assert listener.caller(token) == CALLER
    clock.advance(2)
    with pytest.raises(EngineUnavailable, match="not known yet"):
        listener.caller(token)


def test_the_number_of_cached_verifications_is_limited(
    provider: OidcProvider, kubernetes: TokenIssuer, clock: FakeClock
) -> None:
    authenticator = by_token([kubernetes], clock, max_remembered=2)
    tokens = [bearing(token_of(provider, jti=str(number))) for number in range(3)]
    for token in tokens:
        assert authenticator(token) == CALLER
    rotate(provider)
    clock.advance(COOL_DOWN)
    authenticator(bearing(sign({"alg": "RS256", "kid": "not there"}, claims_of(provider), rsa_key("1"))))
    with pytest.raises(EngineUnavailable, match="not known yet"):
        authenticator(tokens[0])
    assert [authenticator(token) for token in tokens[1:]] == [CALLER, CALLER]


def test_a_refusal_is_not_remembered(provider: OidcProvider, listener: Listener, clock: FakeClock) -> None:
    early = token_of(provider, nbf=NOW + SKEW + 5)
    assert listener.outcome(early) == refused(Refusal.NOT_YET_VALID)
    clock.advance(5)
    assert listener.outcome(early) == ACCEPTED


def test_concurrent_threads_get_the_caller_of_each_token(
    provider: OidcProvider, kubernetes: TokenIssuer, clock: FakeClock
) -> None:
    authenticator = by_token([kubernetes], clock, max_remembered=3)
    subjects = [f"user-{number % 7}" for number in range(280)]
    shown = {subject: bearing(token_of(provider, sub=subject)) for subject in set(subjects)}
    with ThreadPoolExecutor(8) as threads:
        callers = list(threads.map(authenticator, [shown[subject] for subject in subjects]))
    assert callers == [f"jwt:kubernetes:{subject}" for subject in subjects]


@pytest.fixture(scope="module")
def lasting_provider() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running


@pytest.fixture(scope="module")
def lasting_keys(lasting_provider: OidcProvider) -> ProviderKeys:
    """Keys that never expire."""
    return Issuers(FakeClock(), 100).keys("keys", KeySource(issuer=lasting_provider.issuer, http=IssuerHttp()))


_SECONDS = st.floats(min_value=0, max_value=90) | st.sampled_from([0.0, 0.5, 1.0, SKEW, MAX_VERIFICATION_AGE])


@given(
    lives=st.lists(st.integers(-SKEW, 3 * SKEW), min_size=1, max_size=3),
    starts=st.lists(st.integers(-SKEW, 2 * SKEW), min_size=3, max_size=3),
    steps=st.lists(st.tuples(st.integers(0, 2), _SECONDS), max_size=12),
)
def test_the_cache_does_not_change_the_outcome_of_a_token(
    lasting_provider: OidcProvider,
    lasting_keys: ProviderKeys,
    lives: list[int],
    starts: list[int],
    steps: list[tuple[int, float]],
) -> None:
    clock = FakeClock(now=NOW)
    issuer = TokenIssuer(
        name="kubernetes",
        issuer=lasting_provider.issuer,
        audiences=["tokend"],
        verifier=TokenVerifier(["RS256"]),
        keys=lasting_keys,
        clock=clock,
        skew=SKEW,
    )
    tokens = [
        token_of(lasting_provider, exp=NOW + life, nbf=NOW + start, sub=f"user-{number}")
        for number, (life, start) in enumerate(zip(lives, starts, strict=False))
    ]
    remembering = Listener(clock, [issuer])
    for number, seconds in steps:
        token = tokens[number % len(tokens)]
        assert remembering.outcome(token) == Listener(clock, [issuer]).outcome(token)
        clock.advance(seconds)
