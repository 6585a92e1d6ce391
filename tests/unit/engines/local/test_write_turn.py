import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import pytest
from tests.fakes.clock import FakeClock

from tokend_server.engines.local.stores import write_turn
from tokend_server.engines.local.stores.write_turn import NoTurn, WriteTurn

#: Longer than any test waits: who is refused sooner has not waited for it.
STUCK_AFTER = 600.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    monkeypatch.setattr(write_turn, "STUCK_AFTER", STUCK_AFTER)
    return FakeClock()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


class LockThatTells:
    """A lock that tells when a thread is about to wait for it."""

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


def test_behind_a_write_that_is_stuck_no_thread_beyond_the_patient_waits_at_all(
    clock: FakeClock, threads: ThreadPoolExecutor
) -> None:
    turn = WriteTurn(0, clock)
    with turn.taken(1):
        clock.advance(STUCK_AFTER)
        assert threads.submit(refused, turn).result(timeout=20)
    assert not refused(turn)


def test_a_write_that_was_stuck_to_its_end_leaves_the_next_one_stuck(
    clock: FakeClock, threads: ThreadPoolExecutor
) -> None:
    turn, is_next, goes_on = WriteTurn(0, clock), threading.Event(), threading.Event()
    turn._lock = lock = cast("Any", LockThatTells())  # noqa: SLF001 - that a thread waits shows nowhere else

    def be_next() -> None:
        with turn.taken(10 * STUCK_AFTER):
            is_next.set()
            goes_on.wait(timeout=60)

    with turn.taken(1):
        waiting: Future[None] = threads.submit(be_next)
        assert lock.is_awaited.wait(timeout=20)
        clock.advance(STUCK_AFTER)
    assert is_next.wait(timeout=20)
    try:
        assert threads.submit(refused, turn).result(timeout=20)
    finally:
        goes_on.set()
    waiting.result()
    assert not refused(turn)
