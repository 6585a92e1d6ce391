import logging
import threading
from collections.abc import Iterator

import pytest
from tests.support.grpc_service import PATIENCE

from tokend_server.rpc.worker_pool import WorkerPool


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(2)
    yield pool
    pool.shutdown()


def test_work_is_done_with_its_arguments(pool: WorkerPool) -> None:
    done: list[tuple[int, int]] = []
    finished = threading.Event()
    pool.submit(lambda a, *, b: done.append((a, b)), 1, b=2).add_done_callback(lambda _: finished.set())
    assert finished.wait(PATIENCE)
    assert done == [(1, 2)]


@pytest.mark.parametrize("late", [True, False])
def test_the_end_of_work_is_told_once(pool: WorkerPool, *, late: bool) -> None:
    told: list[object] = []
    release, finished = threading.Event(), threading.Event()
    task = pool.submit(release.wait, PATIENCE)
    if late:
        release.set()
        pool.shutdown()
    task.add_done_callback(told.append)
    task.add_done_callback(lambda _: finished.set())
    assert finished.is_set() == late
    release.set()
    assert finished.wait(PATIENCE)
    pool.shutdown()
    assert told == [task]


def test_work_that_fails_takes_no_worker(pool: WorkerPool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    for _ in range(5):
        pool.submit(lambda: 1 / 0)
    finished = threading.Event()
    pool.submit(lambda: None).add_done_callback(lambda _: finished.set())
    assert finished.wait(PATIENCE)
    assert "work on a call failed" in caplog.text


def test_as_many_tasks_run_at_once_as_there_are_workers(pool: WorkerPool) -> None:
    together = threading.Barrier(3)
    for _ in range(2):
        pool.submit(together.wait, PATIENCE)
    together.wait(PATIENCE)


def test_shutdown_ends_the_threads() -> None:
    before = threading.active_count()
    pool = WorkerPool(3)
    assert threading.active_count() == before + 3
    pool.shutdown()
    assert threading.active_count() == before
