"""Which calls get a connection, which wait for one, and which fail at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest

from tokend_server.engines.local.stores.postgresql.pool import ConnectionPool, NoConnection

LONG = 30.0


class Fake:
    """A connection."""

    def __init__(self, expires_at: float = float("inf")) -> None:
        self.expires_at = expires_at
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class FakeDatabase:
    """A database that opens each connection when the test releases it."""

    def __init__(self) -> None:
        self.opened: list[Fake] = []
        self.failure: Exception | None = None
        self.is_reachable = threading.Event()
        self.is_reachable.set()
        self.requested = threading.Semaphore(0)

    def open(self) -> Fake:
        self.requested.release()
        assert self.is_reachable.wait(LONG)
        if self.failure:
            raise self.failure
        self.opened.append(Fake())
        return self.opened[-1]


@pytest.fixture
def database() -> FakeDatabase:
    return FakeDatabase()


def soon(seconds: float = LONG) -> float:
    return monotonic() + seconds


def test_a_connection_is_used_again(database: FakeDatabase) -> None:
    pool = ConnectionPool(database.open, 3)
    first = pool.acquire(soon())
    pool.release(first)
    assert pool.acquire(soon()) is first


def test_the_number_of_connections_is_limited_and_the_next_call_waits(database: FakeDatabase) -> None:
    pool = ConnectionPool(database.open, 2)
    taken = [pool.acquire(soon()), pool.acquire(soon())]
    with ThreadPoolExecutor(1) as threads:
        third = threads.submit(pool.acquire, soon())
        with pytest.raises(NoConnection):
            pool.acquire(soon(0.05))
        pool.release(taken[0])
        assert third.result() is taken[0]
    assert database.opened == taken


def test_a_discarded_connection_frees_its_place_in_the_pool(database: FakeDatabase) -> None:
    pool = ConnectionPool(database.open, 1)
    first = pool.acquire(soon())
    with ThreadPoolExecutor(1) as threads:
        second = threads.submit(pool.acquire, soon())
        pool.discard(first)
        assert second.result() is not first
    assert first.is_closed


def test_a_failure_to_connect_is_reported_immediately(database: FakeDatabase) -> None:
    database.failure = OSError("no route to the database")
    pool = ConnectionPool(database.open, 1)
    for _ in range(2):
        with pytest.raises(NoConnection) as refused:
            pool.acquire(soon())
        assert refused.value.__cause__ is database.failure
    database.failure = None
    assert pool.acquire(soon())  # a failure does not affect later calls


def test_a_failure_to_start_a_thread_does_not_prevent_later_connections(
    database: FakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool = ConnectionPool(database.open, 1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(NoConnection) as refused:
            pool.acquire(soon())
        assert isinstance(refused.value.__cause__, RuntimeError)
    assert pool.acquire(soon())


def test_a_failed_connect_does_not_fail_calls_that_get_another_connection(database: FakeDatabase) -> None:
    pool = ConnectionPool(database.open, 2)
    first = pool.acquire(soon())
    database.failure = OSError("too many clients")
    with ThreadPoolExecutor(1) as threads:
        second = threads.submit(pool.acquire, soon())
        assert database.requested.acquire(timeout=LONG)
        assert database.requested.acquire(timeout=LONG)
        pool.release(first)
        assert second.result() is first


def test_a_connection_opened_too_late_is_used_by_the_next_call(database: FakeDatabase) -> None:
    pool = ConnectionPool(database.open, 1)
    database.is_reachable.clear()
    with pytest.raises(NoConnection):
        pool.acquire(soon(0.05))
    database.is_reachable.set()
    assert pool.acquire(soon()) is database.opened[0]


def test_an_expired_connection_is_not_used(database: FakeDatabase) -> None:
    pool = ConnectionPool(database.open, 1)
    old = pool.acquire(soon())
    old.expires_at = 0.0
    pool.release(old)
    assert pool.acquire(soon()) is not old
    assert old.is_closed


def test_all_connections_are_closed_including_those_in_use(database: FakeDatabase) -> None:
    pool = ConnectionPool(database.open, 2)
    used, idle = pool.acquire(soon()), pool.acquire(soon())
    pool.release(idle)
    pool.close()
    assert (used.is_closed, idle.is_closed) == (False, True)
    pool.release(used)
    assert used.is_closed
    with pytest.raises(NoConnection):
        pool.acquire(soon())


def test_many_threads_share_a_few_connections(database: FakeDatabase) -> None:
    pool, most = ConnectionPool(database.open, 3), 3
    in_use = set[Fake]()

    def use(_: int) -> None:
        lent = pool.acquire(soon())
        assert lent not in in_use
        in_use.add(lent)
        assert len(in_use) <= most
        in_use.remove(lent)
        pool.release(lent)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(use, range(2000)))
    assert len(database.opened) <= most
