import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from tests.fakes.clock import FakeClock

from tokend_server import single_flight
from tokend_server.clock import Deadline, SystemClock
from tokend_server.single_flight import CallTimedOut, SingleFlight, Terms

#: How long a test waits for an expected event.
TIMEOUT = 30

NO_DEADLINE = Deadline(FakeClock())


class Refused(Exception):
    pass


class Killed(BaseException):
    pass


class Call:
    """A call that waits until it is released, and then returns or raises a given value."""

    def __init__(self, result: str | BaseException) -> None:
        self._result = result
        self._let_go = threading.Event()

    def __call__(self) -> str:
        assert self._let_go.wait(TIMEOUT)
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result

    def release(self) -> None:
        self._let_go.set()


class Line:
    """Callers of one `SingleFlight`, each in a separate thread; each makes the next of the calls if required.

    Attributes:
        made: The calls so far.
    """

    def __init__(self, threads: ThreadPoolExecutor, waiting: threading.Semaphore) -> None:
        self.flights = SingleFlight()
        self.made: list[Call] = []
        self._making = threading.Semaphore(0)
        self._threads = threads
        self._waiting = waiting

    def do(self, *calls: Call, key: bytes = b"k", deadline: Deadline = NO_DEADLINE) -> Future[tuple[str, bool]]:
        pending = iter(calls)

        def make() -> str:
            self.made.append(call := next(pending))
            self._making.release()
            return call()

        return self._threads.submit(self.flights.do, Terms(key), make, deadline)

    def lead(self, call: Call, key: bytes = b"k") -> Future[tuple[str, bool]]:
        """Starts a caller, and returns when its call is running."""
        leader = self.do(call, key=key)
        assert self.next_made() is call
        return leader

    def next_made(self) -> Call:
        """Waits until another call is running."""
        assert self._making.acquire(timeout=TIMEOUT)
        return self.made[-1]

    def follow(self, count: int, make: Callable[[], Call]) -> list[Future[tuple[str, bool]]]:
        """Starts callers, and returns when they wait."""
        followers = [self.do(make()) for _ in range(count)]
        self.wait_for_waiting(count)
        return followers

    def follow_without_repeating(self) -> Future[tuple[str, bool]]:
        """Starts a caller without a second call, and returns when it waits."""
        follower = self._threads.submit(self.flights.do, Terms(b"k", repeats_timed_out=False), never(), NO_DEADLINE)
        self.wait_for_waiting(1)
        return follower

    def wait_for_waiting(self, count: int) -> None:
        """Waits until this many more callers wait for another's call."""
        for _ in range(count):
            assert self._waiting.acquire(timeout=TIMEOUT)

    def is_empty(self) -> bool:
        return not self.flights._flights  # noqa: SLF001 - a leak shows nowhere else


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    waiting = threading.Semaphore(0)

    class Landing(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waiting.release()
            return super().wait(timeout)

    _replace_events(monkeypatch, Landing)
    with ThreadPoolExecutor(20) as threads:
        yield Line(threads, waiting)


def _replace_events(monkeypatch: pytest.MonkeyPatch, event: type[threading.Event]) -> SimpleNamespace:
    """Exposes which callers wait and which are woken, since nothing else does."""
    names = SimpleNamespace(Event=event, Lock=threading.Lock, TIMEOUT_MAX=threading.TIMEOUT_MAX)
    monkeypatch.setattr(single_flight, "threading", names)
    return names


def never() -> Call:
    return Call(AssertionError("this call should not have been made"))


def test_concurrent_identical_calls_are_made_once(line: Line) -> None:
    call = Call("answer")
    leader, followers = line.lead(call), line.follow(10, never)
    call.release()
    assert leader.result(TIMEOUT) == ("answer", False)
    assert [each.result(TIMEOUT) for each in followers] == [("answer", True)] * 10
    assert line.made == [call]
    assert line.is_empty()


@pytest.mark.parametrize("error", [Refused("no"), Killed("now")])
def test_all_callers_get_the_same_error(line: Line, error: BaseException) -> None:
    call = Call(error)
    leader, followers = line.lead(call), line.follow(5, never)
    call.release()
    assert [each.exception(TIMEOUT) for each in (leader, *followers)] == [error] * 6
    assert line.is_empty()


def test_a_timed_out_call_is_repeated_by_one_of_the_followers(line: Line) -> None:
    given_up, again = Call(CallTimedOut()), Call("answer")
    leader, followers = line.lead(given_up), line.follow(6, lambda: again)
    given_up.release()
    assert isinstance(leader.exception(TIMEOUT), CallTimedOut)
    assert line.next_made() is again
    line.wait_for_waiting(5)
    assert line.made == [given_up, again]
    again.release()
    answers = [each.result(TIMEOUT) for each in followers]
    assert sorted(answers) == [("answer", False)] + [("answer", True)] * 5
    assert line.made == [given_up, again]
    assert line.is_empty()


def test_timed_out_calls_are_repeated_one_after_another(line: Line) -> None:
    calls = [Call(CallTimedOut()) for _ in range(4)]
    waiting = iter(calls[1:])
    callers = [line.lead(calls[0]), *line.follow(3, lambda: next(waiting))]
    for left in (2, 1, 0):
        line.made[-1].release()
        line.next_made()
        line.wait_for_waiting(left)
        assert len(line.made) == 4 - left
    line.made[-1].release()
    assert all(isinstance(each.exception(TIMEOUT), CallTimedOut) for each in callers)
    assert line.is_empty()


@pytest.mark.parametrize("seconds", [0.0, 0.02])
def test_a_call_with_little_time_does_not_wait_for_the_shared_one(line: Line, seconds: float) -> None:
    call = Call("answer")
    leader, follower = line.lead(call), line.follow(1, never)[0]
    clock = SystemClock()
    hurried = line.do(never(), deadline=Deadline(clock, clock.monotonic() + seconds))
    assert isinstance(hurried.exception(TIMEOUT), CallTimedOut)
    assert not leader.done()
    assert not follower.done()
    call.release()
    assert (leader.result(TIMEOUT), follower.result(TIMEOUT)) == (("answer", False), ("answer", True))


def test_an_expired_deadline_makes_no_call(line: Line) -> None:
    assert isinstance(line.do(never(), deadline=Deadline(FakeClock(), 0.0)).exception(TIMEOUT), CallTimedOut)
    assert line.made == []
    assert line.is_empty()


def test_a_follower_that_does_not_repeat_the_call_gets_the_leaders_timeout(line: Line) -> None:
    call = Call(CallTimedOut())
    leader = line.lead(call)
    follower = line.follow_without_repeating()
    call.release()
    assert isinstance(leader.exception(TIMEOUT), CallTimedOut)
    assert isinstance(follower.exception(TIMEOUT), CallTimedOut)
    assert (line.made, line.is_empty()) == ([call], True)


def test_different_calls_do_not_wait_for_each_other(line: Line) -> None:
    held, other = Call("held"), Call("other")
    first = line.lead(held)
    second = line.lead(other, key=b"other")
    other.release()
    assert second.result(TIMEOUT) == ("other", False)
    held.release()
    assert first.result(TIMEOUT) == ("held", False)


@pytest.mark.parametrize("first", ["answer", Refused("no")])
def test_a_call_after_the_answer_is_another_call(line: Line, first: str | BaseException) -> None:
    calls = [Call(first), Call("later")]
    for call in calls:
        call.release()
    line.do(calls[0]).exception(TIMEOUT)
    assert line.do(calls[1]).result(TIMEOUT) == ("later", False)


def test_no_caller_joins_once_the_answer_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    newcomers: list[tuple[str, bool]] = []

    class Landing(threading.Event):
        """A new caller arrives just before and just after the waiting callers are woken."""

        def set(self) -> None:
            newcomers.append(_newcomer(flights))
            super().set()
            newcomers.append(_newcomer(flights))

    flights = SingleFlight()
    names = _replace_events(monkeypatch, Landing)

    def make() -> str:
        names.Event = threading.Event
        return "old"

    assert flights.do(Terms(b"k"), make, NO_DEADLINE) == ("old", False)
    assert newcomers == [("new", False), ("new", False)]


def _newcomer(flights: SingleFlight) -> tuple[str, bool]:
    return flights.do(Terms(b"k"), lambda: "new", NO_DEADLINE)
