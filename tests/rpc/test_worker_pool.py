import logging
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import grpc
import pytest
from tests.fakes.clock import FakeClock
from tests.support.grpc_service import TIMEOUT
from tests.support.threads import no_threads_left

from tokend_server.clock import Clock, SystemClock
from tokend_server.rpc.worker_pool import WorkerPool

#: How many calls a queue may abandon at once without keeping their places.
BURST = 1000


def made(
    workers: int,
    most: int = 1000,
    spare: int = 8,
    *,
    clock: Clock | None = None,
    on_skipped: Callable[[str, grpc.StatusCode], None] | None = None,
) -> WorkerPool:
    """Returns a pool; by default it accepts all calls."""
    return WorkerPool(
        workers, most, clock or SystemClock(), spare=spare, refuse=no_call, on_skipped=on_skipped or no_call
    )


def no_call(*_: object) -> None:
    raise AssertionError("there is no call")


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = made(2)
    yield pool
    pool.shutdown()


def test_tasks_get_their_arguments(pool: WorkerPool) -> None:
    done: list[tuple[int, int]] = []
    finished = threading.Event()
    pool.submit(lambda a, *, b: done.append((a, b)), 1, b=2).add_done_callback(lambda _: finished.set())
    assert finished.wait(TIMEOUT)
    assert done == [(1, 2)]


@pytest.mark.parametrize("late", [True, False])
def test_the_end_of_work_is_reported_once(pool: WorkerPool, *, late: bool) -> None:
    done: list[object] = []
    release, finished = threading.Event(), threading.Event()
    task = pool.submit(release.wait, TIMEOUT)
    if late:
        release.set()
        pool.shutdown()
    task.add_done_callback(done.append)
    task.add_done_callback(lambda _: finished.set())
    assert finished.is_set() == late
    release.set()
    assert finished.wait(TIMEOUT)
    pool.shutdown()
    assert done == [task]


def test_a_failed_task_does_not_end_its_worker(pool: WorkerPool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    for _ in range(5):
        pool.submit(lambda: 1 / 0)
    finished = threading.Event()
    pool.submit(lambda: None).add_done_callback(lambda _: finished.set())
    assert finished.wait(TIMEOUT)
    assert "work on a call failed" in caplog.text


def test_as_many_tasks_run_at_once_as_there_are_workers(pool: WorkerPool) -> None:
    together = threading.Barrier(3)
    for _ in range(2):
        pool.submit(together.wait, TIMEOUT)
    together.wait(TIMEOUT)


def test_shutdown_ends_the_threads() -> None:
    with no_threads_left():
        pool = made(3)
        pool.shutdown()


def busy(pool: WorkerPool, count: int) -> threading.Event:
    """Makes this many workers wait for an event, and returns the event when they do."""
    release, together = threading.Event(), threading.Barrier(count + 1)

    def work() -> None:
        together.wait(TIMEOUT)
        release.wait(TIMEOUT)

    for _ in range(count):
        pool.submit(work)
    together.wait(TIMEOUT)
    return release


class Abandoned:
    """Submits calls like gRPC, each of which has ended before it runs."""

    def __init__(self, pool: WorkerPool, *, keeps_places: bool = True) -> None:
        self._pool = pool
        self._keeps_places = keeps_places
        self.noted: list[tuple[str, str]] = []

    def give_up(self, calls: int, line: str) -> None:
        for _ in range(calls):
            state = SimpleNamespace(callbacks=[])
            details = SimpleNamespace(deadline=float("inf"))
            call = SimpleNamespace(peer=lambda: b"ipv4:127.0.0.2:4000")
            event = SimpleNamespace(call=call, call_details=details, invocation_metadata=())
            arguments = (no_call, event, state, no_call)
            self._pool.submit_in_line(lambda *_: line, self._note, no_call, *arguments)
            for ended in state.callbacks:
                ended()

    def _note(self, peer: str, line: str) -> bool:
        self.noted.append((peer, line))
        return self._keeps_places


def test_a_line_without_a_known_caller_keeps_no_places() -> None:
    skipped: list[str] = []
    pool = made(1, BURST, clock=FakeClock(), on_skipped=lambda path, _code: skipped.append(path))
    release, calls = busy(pool, 1), Abandoned(pool, keeps_places=False)
    calls.give_up(BURST + 3, "a")
    assert len(skipped) == BURST + 3
    release.set()
    pool.shutdown()


def test_cancelled_calls_beyond_the_limit_keep_their_places() -> None:
    skipped: list[grpc.StatusCode] = []
    all_skipped, clock = threading.Event(), FakeClock()

    def on_skipped(_path: str, code: grpc.StatusCode) -> None:
        skipped.append(code)
        if len(skipped) == BURST + 4:
            all_skipped.set()

    pool = made(1, BURST, clock=clock, on_skipped=on_skipped)
    release, calls = busy(pool, 1), Abandoned(pool)
    calls.give_up(BURST + 3, "a")
    calls.give_up(1, "b")
    assert skipped == [grpc.StatusCode.CANCELLED] * (BURST + 1)
    assert calls.noted == [("ipv4:127.0.0.2:4000", "a")] * (BURST + 3) + [("ipv4:127.0.0.2:4000", "b")]
    release.set()
    assert does_work(pool)
    pool.shutdown()  # which ends all pauses
    assert all_skipped.wait(TIMEOUT)


def does_work(pool: WorkerPool) -> bool:
    done = threading.Event()
    pool.submit(done.set)
    return done.wait(TIMEOUT)


def test_workers_that_only_wait_are_replaced(pool: WorkerPool) -> None:
    release = busy(pool, 2)
    pool.replace(2)
    assert does_work(pool)
    second = busy(pool, 2)
    pool.replace(4)
    assert does_work(pool)
    release.set()
    second.set()


def test_replacements_are_limited_to_the_spare_threads(pool: WorkerPool) -> None:
    pool.replace(100)
    release = busy(pool, 10)
    late = threading.Event()
    pool.submit(late.set)
    assert not late.is_set()
    release.set()
    assert late.wait(TIMEOUT)
    pool.replace(0)
    assert does_work(pool)


def test_waiting_tasks_run_before_a_replacement_ends(pool: WorkerPool) -> None:
    release = busy(pool, 2)
    pool.replace(1)
    third = busy(pool, 1)
    done = [threading.Event() for _ in range(5)]
    for each in done:
        pool.submit(each.set)
    pool.replace(0)
    third.set()
    assert all(each.wait(TIMEOUT) for each in done)
    release.set()


def test_shutdown_ends_replacements_too() -> None:
    with no_threads_left():
        pool = made(1)
        pool.replace(7)
        pool.shutdown()


@pytest.mark.parametrize("left", [0, 1, 3, 11])
def test_a_pool_that_cannot_start_its_threads_is_not_created(left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, list[threading.Thread]()

    def start_some(thread: threading.Thread) -> None:
        if len(started) == left:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    with no_threads_left():
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start_some)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                made(4, spare=8)
        for thread in started:
            thread.join(TIMEOUT)


def test_the_pool_starts_no_threads_after_its_creation(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = made(1, most=1, spare=2)

    def start_none(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start_none)
        release = busy(pool, 1)
        refused = threading.Event()
        pool.submit(lambda: refused.set() if pool.must_refuse() else None)
        assert refused.wait(TIMEOUT)
        pool.replace(2)
        release.set()
        assert does_work(pool)
    pool.shutdown()
