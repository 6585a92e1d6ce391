import math

import pytest
from tests.fakes.clock import FakeClock

from tokend_server.clock import Deadline, SystemClock
from tokend_server.errors import DeadlineExceeded


def test_a_deadline_counts_down_to_zero_and_no_further() -> None:
    clock = FakeClock(monotonic=1000.0)
    deadline = Deadline(clock, 1002.0)
    assert deadline.remaining() == 2.0
    clock.advance(1.5)
    assert deadline.remaining() == 0.5
    clock.advance(100)
    assert deadline.remaining() == 0.0


def test_check_raises_once_the_deadline_is_exceeded() -> None:
    clock = FakeClock(monotonic=1000.0)
    deadline = Deadline(clock, 1002.0)
    deadline.check()
    clock.advance(1.75)
    deadline.check()
    clock.advance(0.25)
    with pytest.raises(DeadlineExceeded):
        deadline.check()


def test_without_a_deadline_time_never_runs_out() -> None:
    clock = FakeClock()
    deadline = Deadline(clock)
    clock.advance(1e12)
    assert deadline.remaining() == math.inf
    deadline.check()


@pytest.mark.parametrize(
    ("expires_at", "seconds", "limited"), [(1002.0, 1.5, 1001.5), (1002.0, 3.0, 1002.0), (math.inf, 3.0, 1003.0)]
)
def test_the_sooner_of_a_deadline_and_a_timeout_applies(expires_at: float, seconds: float, limited: float) -> None:
    clock = FakeClock(monotonic=1000.0)
    assert Deadline(clock, expires_at).within(seconds) == Deadline(clock, limited)


def test_a_deadline_ignores_the_wall_clock() -> None:
    deadline = Deadline(FakeClock(now=9e9, monotonic=5.0), 6.0)
    assert deadline.remaining() == 1.0


def test_the_monotonic_clock_never_runs_backwards() -> None:
    clock = SystemClock()
    readings = [clock.monotonic() for _ in range(1000)]
    assert readings == sorted(readings)
