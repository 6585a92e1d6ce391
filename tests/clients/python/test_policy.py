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

from tokend_client import CachingPolicy, ErrorReason, Token, TokendError
from tokend_client.policy import Backoff, Freshness, hold

NOW = 1_800_000_000


def token(refresh_in: float, expire_in: float, issue_in: float | None = None) -> Token:
    moments = (None if seconds is None else NOW + seconds for seconds in (expire_in, refresh_in, issue_in))
    expire, refresh, issue = (None if at is None else datetime.fromtimestamp(at, UTC) for at in moments)
    assert expire
    assert refresh
    return Token("r:0", "token", expire, refresh, issue)


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
    cached = hold(token(899, 900), policy())
    assert (cached.fresh_for, cached.usable_for) == (840, 840)


def test_a_token_becomes_stale_and_expired_at_the_exact_time() -> None:
    clock = FakeClock(now=NOW)
    cached = hold(token(450, 900), CachingPolicy(clock=clock, random=lambda: 0.0))
    seen = []
    for seconds in (0, 449.5, 0.5, 389.5, 0.5, 10_000):
        clock.advance(seconds)
        seen.append(cached.freshness(clock))
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


@pytest.mark.parametrize("wrong_by", [-86_400, -3600, 0, 840, 86_400])
def test_lifetimes_count_from_the_response_regardless_of_the_clock(wrong_by: float) -> None:
    cached = hold(token(300 - wrong_by, 900 - wrong_by, -wrong_by), policy())
    assert (cached.fresh_for, cached.usable_for) == (300, 840)


@pytest.mark.parametrize("refresh_in", [-1000, 0, 0.5])
def test_a_token_is_fresh_for_a_second_at_the_least(refresh_in: float) -> None:
    assert hold(token(refresh_in, 900, 0), policy()).fresh_for == 1


@pytest.mark.parametrize("clock", ["_now", "_monotonic"])
def test_the_clock_that_advanced_more_determines_the_age_of_a_token(
    clock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = FakeClock(now=NOW)
    cached = hold(token(300, 900, 0), CachingPolicy(clock=clocks))
    monkeypatch.setattr(clocks, clock, getattr(clocks, clock) + 840)
    assert cached.freshness(clocks) is Freshness.EXPIRED


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="skew"):
        CachingPolicy(skew=timedelta(microseconds=-1))
    for timeout in (0, -1, float("nan")):
        with pytest.raises(ValueError, match=f"refresh_timeout must be positive: {timeout}"):
            CachingPolicy(refresh_timeout=timeout)
    assert CachingPolicy(skew=timedelta()).skew == timedelta()


OUTAGE = TokendError("x", grpc.StatusCode.UNAVAILABLE)


def refused(retry_delay: float | None = None) -> TokendError:
    error = TokendError("x", grpc.StatusCode.RESOURCE_EXHAUSTED)
    error.reason = ErrorReason.TOO_MANY_REQUESTS
    error.retry_delay = None if retry_delay is None else timedelta(seconds=retry_delay)
    return error


def wait_after(failures: int, error: TokendError, freshness: Freshness, draw: float = 0.999_999) -> float:
    """Returns the back-off after this many failures, rounded to a hundredth of a second."""
    chosen, backoff = policy(draw), Backoff()
    for _ in range(failures):
        backoff = backoff.after(error, chosen, 0)
    failed_at = chosen.clock.monotonic()
    return next(n / 100 for n in range(10**6) if backoff.is_over(failed_at + n / 100, freshness, 0))


@pytest.mark.parametrize(("draw", "share"), [(0.0, 0.5), (0.5, 0.75), (0.999_999, 1)])
def test_the_back_off_doubles_up_to_a_minute_and_is_drawn_from_its_upper_half(draw: float, share: float) -> None:
    delays = [wait_after(failures, OUTAGE, Freshness.STALE, draw) / share for failures in range(1, 10)]
    assert delays == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60], abs=0.02)


def test_without_a_usable_token_the_back_off_doubles_up_to_two_seconds() -> None:
    assert [wait_after(failures, OUTAGE, Freshness.EXPIRED) for failures in (1, 2, 3, 9)] == [1, 2, 2, 2]


def test_a_source_that_expires_during_a_long_back_off_waits_the_short_one() -> None:
    chosen, backoff = policy(0.999_999), Backoff()
    for _ in range(7):
        backoff = backoff.after(OUTAGE, chosen, 0)
    later = chosen.clock.monotonic() + 2
    assert not backoff.is_over(later, Freshness.STALE, 0)
    assert backoff.is_over(later, Freshness.EXPIRED, 0)


def test_thousands_of_failures_are_counted() -> None:
    backoff = Backoff()
    for _ in range(3000):
        backoff = backoff.after(OUTAGE, policy(), 0)
    assert backoff.failures == 3000
    assert wait_after(3000, OUTAGE, Freshness.STALE) == 60


@pytest.mark.parametrize("freshness", [Freshness.STALE, Freshness.EXPIRED])
@pytest.mark.parametrize(("requested", "wait"), [(7.5, 7.5), (0.25, 0.25), (60, 60), (86_400, 60), (3e11, 60)])
def test_the_servers_retry_delay_is_limited_to_a_minute(requested: float, wait: float, freshness: Freshness) -> None:
    assert wait_after(5, refused(requested), freshness) == wait


def test_a_retry_delay_of_zero_is_ignored() -> None:
    assert [wait_after(failures, refused(0), Freshness.STALE) for failures in (1, 2, 3)] == [1, 2, 4]


def test_a_success_of_another_source_ends_the_wait_for_the_service_but_not_that_of_a_refusal() -> None:
    chosen = policy()
    now = chosen.clock.monotonic()
    assert not Backoff().after(OUTAGE, chosen, 7).is_over(now, Freshness.STALE, 7)
    assert Backoff().after(OUTAGE, chosen, 7).is_over(now, Freshness.STALE, 8)
    assert not Backoff().after(refused(), chosen, 7).is_over(now, Freshness.STALE, 8)


@given(
    refresh_in=st.integers(-1000, 100_000),
    expire_in=st.integers(-1000, 100_000),
    draw=st.floats(0, 1, exclude_max=True),
    moments=st.lists(st.floats(0, 100_000), min_size=2).map(sorted),
)
def test_a_token_never_becomes_younger(refresh_in: int, expire_in: int, draw: float, moments: list[float]) -> None:
    clock = FakeClock(now=NOW)
    cached = hold(token(refresh_in, expire_in), CachingPolicy(clock=clock, random=lambda: draw))
    seen = []
    for before, after in pairwise([0.0, *moments]):
        clock.advance(after - before)
        seen.append(cached.freshness(clock).value)
    assert seen == sorted(seen)
