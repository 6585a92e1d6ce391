"""The decisions of the caching policy, without any I/O."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.clock import FakeClock

from tokend_client import CachingPolicy, OpenIdToken, TokendError
from tokend_client.policy import Backoff, Freshness, hold

NOW = 1_800_000_000


def token(refresh_in: float, expire_in: float) -> OpenIdToken:
    at = (datetime.fromtimestamp(NOW + seconds, UTC) for seconds in (expire_in, refresh_in))
    return OpenIdToken("r:0", "token", *at)


def policy(draw: float = 0.0, skew: float = 60) -> CachingPolicy:
    return CachingPolicy(skew=timedelta(seconds=skew), clock=FakeClock(now=NOW), random=lambda: draw)


@pytest.mark.parametrize(("draw", "fresh_for"), [(0.0, 450.0), (0.5, 427.5), (0.999, 405.045)])
def test_jitter_brings_the_refresh_forward_by_up_to_a_tenth(draw: float, fresh_for: float) -> None:
    assert hold(token(450, 900), policy(draw)).fresh_for == pytest.approx(fresh_for)


@pytest.mark.parametrize(
    ("life", "skew", "usable_for"),
    [(900, 60, 840), (900, 10, 890), (100, 60, 90), (10, 60, 9), (0, 60, 0), (-5, 60, 0)],
)
def test_the_skew_is_at_most_a_tenth_of_the_life(life: float, skew: float, usable_for: float) -> None:
    assert hold(token(0, life), policy(skew=skew)).usable_for == pytest.approx(usable_for)


def test_no_token_is_fresh_longer_than_it_is_usable() -> None:
    held = hold(token(899, 900), policy())
    assert (held.fresh_for, held.usable_for) == (840, 840)


def test_each_state_begins_on_its_moment() -> None:
    clock = FakeClock(now=NOW)
    held = hold(token(450, 900), CachingPolicy(clock=clock, random=lambda: 0.0))
    seen = []
    for seconds in (0, 449.5, 0.5, 389.5, 0.5, 10_000):
        clock.advance(seconds)
        seen.append(held.freshness(clock))
    assert seen == [Freshness.FRESH] * 2 + [Freshness.STALE] * 2 + [Freshness.EXPIRED] * 2


def test_a_thousand_clients_started_in_the_same_second_do_not_refresh_in_the_same_second() -> None:
    drawn = random.Random(1)
    starts = CachingPolicy(clock=FakeClock(now=NOW), random=drawn.random)
    seconds = Counter(int(hold(token(450, 900), starts).fresh_for) for _ in range(1000))
    assert set(seconds) == set(range(405, 450))
    assert max(seconds.values()) < 1000 / 45 * 2


def test_the_default_randomness_differs_from_time_to_time() -> None:
    default = CachingPolicy(clock=FakeClock(now=NOW))
    assert len({hold(token(450, 900), default).fresh_for for _ in range(100)}) > 90


@pytest.mark.parametrize(("draw", "share"), [(0.0, 0.5), (0.5, 0.75), (0.999, 0.9995)])
def test_the_back_off_doubles_up_to_a_minute_and_is_drawn_from_its_upper_half(draw: float, share: float) -> None:
    error = TokendError("x", grpc.StatusCode.UNAVAILABLE)
    chosen, backoff, delays = policy(draw), Backoff(), []
    for _ in range(9):
        backoff = backoff.after(error, chosen)
        delays.append((backoff.until - chosen.clock.monotonic()) / share)
    assert delays == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60])


def test_thousands_of_failures_are_counted() -> None:
    backoff = Backoff()
    for _ in range(3000):
        backoff = backoff.after(TokendError("x", grpc.StatusCode.UNAVAILABLE), policy())
    assert backoff.failures == 3000


def test_a_retry_delay_takes_the_place_of_the_back_off() -> None:
    error = TokendError("x", grpc.StatusCode.UNAVAILABLE)
    error.retry_delay = timedelta(seconds=7.5)
    chosen = policy()
    assert Backoff(failures=5).after(error, chosen).until == chosen.clock.monotonic() + 7.5


@given(
    refresh_in=st.integers(-1000, 100_000),
    expire_in=st.integers(-1000, 100_000),
    draw=st.floats(0, 1, exclude_max=True),
    moments=st.lists(st.floats(0, 100_000), min_size=2).map(sorted),
)
def test_a_token_never_becomes_younger(refresh_in: int, expire_in: int, draw: float, moments: list[float]) -> None:
    clock = FakeClock(now=NOW)
    held = hold(token(refresh_in, expire_in), CachingPolicy(clock=clock, random=lambda: draw))
    seen = []
    for before, after in pairwise([0.0, *moments]):
        clock.advance(after - before)
        seen.append(held.freshness(clock).value)
    assert seen == sorted(seen)
