import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, cast

import pytest
from tests.fakes.clock import FakeClock

from tokend_server.engines.local.stores.sqlite import write_turn
from tokend_server.engines.local.stores.sqlite.write_turn import NoTurn, WriteTurn

#: Longer than any test waits: a call that fails sooner has not waited for it.
STUCK_AFTER = 600.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    monkeypatch.setattr(write_turn, "STUCK_AFTER", STUCK_AFTER)
    return FakeClock()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


class SignalingLock:
    """A lock that signals when a thread is about to wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.is_awaited = threading.Event()
        self.release = self._lock.release

    def acquire(self, *, blocking: bool = True, timeout: float = -1) -> bool:
        if blocking:
            self.is_awaited.set()
        return self._lock.acquire(blocking, timeout)


def refused(turn: WriteTurn) -> bool:
    try:
        with turn.taken(10 * STUCK_AFTER):
            return False
    except NoTurn:
        return True


def test_writes_beyond_the_limit_behind_a_stuck_write_fail_immediately(
    clock: FakeClock, threads: ThreadPoolExecutor
) -> None:
    turn = WriteTurn(0, clock)
    with turn.taken(1):
        clock.advance(STUCK_AFTER)
        assert threads.submit(refused, turn).result(timeout=20)
    assert not refused(turn)


def test_a_write_after_a_long_pause_is_not_stuck(clock: FakeClock, threads: ThreadPoolExecutor) -> None:
    turn = WriteTurn(0, clock)
    turn._lock = lock = cast("Any", SignalingLock())  # noqa: SLF001 - that a thread waits shows nowhere else
    clock.advance(10 * STUCK_AFTER)
    with turn.taken(1):
        other = threads.submit(refused, turn)
        assert lock.is_awaited.wait(timeout=20)
    assert not other.result(timeout=20)


class Failed(Exception):
    """The error of a write that waited for another process."""


@pytest.mark.parametrize("failure", [Failed, None])
def test_the_next_write_is_stuck_after_a_late_failure_but_not_after_a_slow_write(
    clock: FakeClock, threads: ThreadPoolExecutor, failure: type[Exception] | None
) -> None:
    is_next_stuck = failure is not None
    turn, is_next, goes_on = WriteTurn(0, clock), threading.Event(), threading.Event()
    turn._lock = lock = cast("Any", SignalingLock())  # noqa: SLF001 - that a thread waits shows nowhere else

    def be_next() -> None:
        with turn.taken(10 * STUCK_AFTER):
            is_next.set()
            goes_on.wait(timeout=60)

    with suppress(Failed), turn.taken(1):
        waiting: Future[None] = threads.submit(be_next)
        assert lock.is_awaited.wait(timeout=20)
        clock.advance(STUCK_AFTER)
        if failure:
            raise failure
    assert is_next.wait(timeout=20)
    lock.is_awaited.clear()
    other = threads.submit(refused, turn)
    try:
        if is_next_stuck:
            assert other.result(timeout=20)
        else:
            assert lock.is_awaited.wait(timeout=20)
    finally:
        goes_on.set()
    waiting.result()
    assert other.result(timeout=20) is is_next_stuck
    assert not refused(turn)
