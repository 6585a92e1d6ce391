import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.clock import FakeClock

from tokend_server.token_bucket import TokenBucket

RATES = st.floats(0.1, 1000)
BURSTS = st.integers(1, 20)


def taken(bucket: TokenBucket, most: int = 1000) -> int:
    """Returns how many requests it admits at once."""
    return next(count for count in range(most) if bucket.take())


@given(rate=RATES, burst=BURSTS, idle=st.floats(0, 1e6))
def test_a_full_bucket_admits_its_burst_and_no_more(rate: float, burst: int, idle: float) -> None:
    clock = FakeClock()
    bucket = TokenBucket(rate, burst, clock)
    clock.advance(idle)
    assert taken(bucket) == burst


@settings(max_examples=200)
@given(rate=RATES, burst=BURSTS, pauses=st.lists(st.floats(0, 3) | st.just(0.0), min_size=1, max_size=60))
def test_no_window_admits_more_than_its_length_times_the_rate_and_the_burst(
    rate: float, burst: int, pauses: list[float]
) -> None:
    clock = FakeClock(monotonic=0.0)
    bucket = TokenBucket(rate, burst, clock)
    admitted = []
    for pause in pauses:
        clock.advance(pause)
        while not bucket.take():
            admitted.append(clock.monotonic())
    for first, start in enumerate(admitted):
        for last in range(first, len(admitted)):
            most = rate * (admitted[last] - start) + burst
            assert last - first + 1 <= most + 1e-6


@pytest.mark.parametrize(("rate", "waited", "wait"), [(4.0, 0.0, 0.25), (4.0, 0.125, 0.125), (0.5, 0.0, 2.0)])
def test_a_rejection_has_the_time_until_the_next_request(rate: float, waited: float, wait: float) -> None:
    clock = FakeClock()
    bucket = TokenBucket(rate, 1, clock)
    assert bucket.take() == 0.0
    clock.advance(waited)
    assert bucket.take() == wait
    assert bucket.take() == wait  # asking costs nothing
    clock.advance(wait)
    assert bucket.take() == 0.0
    assert bucket.take() == 1 / rate


@given(rate=RATES, burst=BURSTS, waited=st.floats(0, 1))
def test_a_call_is_admitted_after_the_reported_wait_and_not_earlier(rate: float, burst: int, waited: float) -> None:
    clock = FakeClock()
    bucket = TokenBucket(rate, burst, clock)
    taken(bucket)
    clock.advance(min(waited, 0.9 / rate))
    wait = bucket.take()
    clock.advance(wait * 0.999)
    early = bucket.take()
    assert early > 0
    assert math.isclose(early, wait * 0.001, rel_tol=1e-3, abs_tol=1e-9)
    clock.advance(wait * 0.001 + 1e-9)
    assert bucket.take() == 0.0


def test_concurrent_threads_together_get_no_more_than_the_burst() -> None:
    bucket, ready = TokenBucket(0.1, 50, FakeClock()), threading.Barrier(8)

    def take() -> int:
        ready.wait()
        return sum(not bucket.take() for _ in range(50))

    with ThreadPoolExecutor(8) as threads:
        assert sum(each.result() for each in [threads.submit(take) for _ in range(8)]) == 50
