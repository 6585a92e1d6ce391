from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokend_server.model import IssuedToken, Secret, refresh_time
from tokend_server.token_cache import TokenCache

IAT, EXP = 1_800_000_000, 1_800_000_900
REFRESH = 1_800_000_300
MARGIN = 60


@dataclass
class Clocks:
    """Both clocks, which the test can set."""

    wall: float = IAT
    steady: float = 1000.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def token(name: str = "a", iat: int = IAT, exp: int = EXP) -> IssuedToken:
    return IssuedToken("us-east-1:0", Secret(name), exp, refresh_time(iat, exp), "RS512", "key-1", None)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def cache(clocks: Clocks) -> TokenCache:
    return TokenCache(3, timedelta(seconds=MARGIN), clocks)


def test_an_unknown_key_has_no_token(cache: TokenCache) -> None:
    assert (cache.fresh(b"k"), cache.usable(b"k")) == (None, None)


@pytest.mark.parametrize(
    ("age", "fresh", "usable"),
    [
        (0, True, True),
        (299, True, True),
        (300, False, True),
        (839, False, True),
        (840, False, False),
        (900, False, False),
    ],
)
def test_a_token_is_fresh_until_its_refresh_time_and_usable_until_the_margin(
    cache: TokenCache, clocks: Clocks, age: int, *, fresh: bool, usable: bool
) -> None:
    cache.put(b"k", token(), IAT)
    clocks.advance(age)
    assert (cache.fresh(b"k"), cache.usable(b"k")) == (token() if fresh else None, token() if usable else None)


def test_a_wall_clock_set_back_makes_no_token_younger(cache: TokenCache, clocks: Clocks) -> None:
    cache.put(b"k", token(), IAT)
    clocks.wall -= 86_400
    assert cache.fresh(b"k")
    clocks.advance(300)
    assert not cache.fresh(b"k")
    assert cache.usable(b"k")
    clocks.advance(540)
    assert not cache.usable(b"k")


def test_a_wall_clock_set_ahead_ends_a_token(cache: TokenCache, clocks: Clocks) -> None:
    cache.put(b"k", token(), IAT)
    clocks.wall = REFRESH
    assert not cache.fresh(b"k")
    assert cache.usable(b"k")
    clocks.wall = EXP - MARGIN
    assert not cache.usable(b"k")


def test_a_wall_clock_that_runs_behind_makes_no_token_live_longer(cache: TokenCache, clocks: Clocks) -> None:
    clocks.wall = IAT - 3600
    cache.put(b"k", token(), IAT)
    clocks.steady += 300
    assert not cache.fresh(b"k")


def test_a_token_that_has_already_expired_is_not_returned(cache: TokenCache, clocks: Clocks) -> None:
    clocks.wall = EXP
    cache.put(b"k", token(), IAT)
    assert (cache.fresh(b"k"), cache.usable(b"k")) == (None, None)


def test_a_later_token_replaces_an_earlier_one(cache: TokenCache, clocks: Clocks) -> None:
    cache.put(b"k", token(), IAT)
    clocks.advance(500)
    later = token("b", IAT + 500, EXP + 500)
    cache.put(b"k", later, IAT + 500)
    assert cache.fresh(b"k") == later


def test_the_least_recently_used_token_is_evicted(cache: TokenCache) -> None:
    for name in "abc":
        cache.put(name.encode(), token(name), IAT)
    assert cache.fresh(b"a")
    assert cache.usable(b"b")
    cache.put(b"d", token("d"), IAT)
    assert [name for name in "abcd" if cache.usable(name.encode())] == ["a", "b", "d"]


@settings(max_examples=300)
@given(
    life=st.integers(1, 2000),
    margin=st.integers(0, 300),
    skew=st.integers(-2000, 2000),
    steps=st.lists(st.tuples(st.integers(0, 900), st.integers(-900, 900)), max_size=6),
)
def test_no_token_is_returned_after_its_expiration_by_either_clock(
    life: int, margin: int, skew: int, steps: list[tuple[int, int]]
) -> None:
    clocks = Clocks(wall=IAT + skew)
    cache = TokenCache(1, timedelta(seconds=margin), clocks)
    issued = token("a", IAT, IAT + life)
    cache.put(b"k", issued, IAT)
    until_refresh = issued.refresh_time - IAT
    for step, jump in steps:
        clocks.advance(step)
        clocks.wall += jump
        age = max(clocks.steady - 1000.0, clocks.wall - IAT)
        assert (cache.fresh(b"k") is not None) == (age < until_refresh)
        assert (cache.usable(b"k") is not None) == (age < life - margin)
