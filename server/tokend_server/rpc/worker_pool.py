"""The threads that work on calls."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache, partial
from queue import SimpleQueue
from time import monotonic
from typing import Any, NamedTuple, TypeAlias

import grpc

from tokend_server.clock import Clock
from tokend_server.rpc.fair_queue import FairQueue
from tokend_server.rpc.grpc_internals import CallPool, SubmittedCall
from tokend_server.token_bucket import TokenBucket

_log = logging.getLogger(__name__)

#: Tells which line a call waits in, by its connection, as gRPC calls its peer, and the number of its metadata fields.
LineOf: TypeAlias = Callable[[str, int], str]

#: Takes note of a call that ended while it waited, by its connection and its line, and tells whether it may have to
#: keep its place.
OnAbandoned: TypeAlias = Callable[[str, str], bool]

#: How many calls of a line are let go as soon as they end while they wait: a second, and at once. Each costs gRPC as
#: much as one that is answered, and a connection that has given up a call may make another.
_ABANDONED_PER_SECOND, _ABANDONED_BURST = 500.0, 1000

#: Seconds that a line pauses after each further one, which keeps its place until its turn comes.
_ABANDONED_PAUSE = 0.01

#: How many lines are remembered for it; the one that has not given up a call for longest begins again.
_REMEMBERED = 10_000

#: How many refused calls may wait for their answers. What is beyond is refused by the thread that brings it.
_MOST_REFUSALS = 1000

#: Seconds that the threads may take to end when the pool is shut down; all are daemons.
_JOIN_TIMEOUT = 5.0

#: What a thread is asked: it is to take tasks until it is asked to stop, or to end.
_TAKE, _END = True, False

#: What is known of a call that was never worked on: the path of its method, and how it ended.
OnSkipped = Callable[[str, grpc.StatusCode], None]

#: What refuses a call without waiting for anything: takes the path of its method, and then what grpc calls it with.
Refuse = Callable[..., Any]


class WorkerPool(CallPool):
    """A thread pool for a gRPC server, which needs of submitted work only a callback when it is done.

    A `Future` that could also be waited for costs a lock and a condition variable for every call, about a tenth of
    all that gRPC costs. All threads begin with the pool: gRPC's serving thread ends for good if `submit` raises.

    A call that ends while it waits, since its client or its connection has gone or its deadline has passed, is let go
    at once: until then it would keep its place here and its stream on the connection. A line with too many of them
    keeps those places, so that gRPC itself turns away what is beyond the most calls of a connection.

    Args:
        workers: How many calls are worked on at once.
        most: How many calls wait or are worked on before further ones are refused, those of the lines with the most of
            them.
        clock: Measures pauses.
        refuse: Refuses a call for the number of calls.
        on_skipped: Called for each call that ended while it waited, or that only `refuse` has seen.
        spare: How many further threads there are to take the places of those that only wait for something.
        name: What the names of the threads begin with.

    Raises:
        RuntimeError: The operating system has no more threads; none of them is left.
    """

    def __init__(  # noqa: PLR0913 - what a pool is made of
        self,
        workers: int,
        most: int,
        clock: Clock,
        *,
        refuse: Refuse,
        on_skipped: OnSkipped,
        spare: int = 0,
        name: str = "grpc",
    ) -> None:
        super().__init__()
        self.spare = spare
        self._refuse = refuse
        self._on_skipped = on_skipped
        self._here = threading.local()
        self._tasks: FairQueue[_Task] = FairQueue(most, clock)
        self._abandoned: Callable[[str], TokenBucket] = lru_cache(_REMEMBERED)(
            lambda _line: TokenBucket(_ABANDONED_PER_SECOND, _ABANDONED_BURST, clock)
        )
        self._refusals: SimpleQueue[_Task | None] = SimpleQueue()
        # One for each thread that is to take tasks, or to end.
        self._turns: SimpleQueue[bool] = SimpleQueue()
        self._extra = 0
        self._threads_of_pool: list[threading.Thread] = []
        try:
            self._start(self._answer_refusals, f"{name}-refusal")
            for number in range(workers + spare):
                self._start(self._work, f"{name}-{number}")
        except RuntimeError:
            self.shutdown()
            raise
        for _ in range(workers):
            self._turns.put(_TAKE)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        return self.submit_in_line(_own_line, _keep_place, fn, *args, **kwargs)

    def submit_in_line(
        self,
        line_of: LineOf,
        on_abandoned: OnAbandoned,
        fn: Callable[..., Any],
        /,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Future[Any]:
        """As `submit`, in a line of the listener's choice, which hears of calls that end while they wait."""
        call = SubmittedCall(args)
        connection = call.connection
        task = _Task(partial(fn, *args, **kwargs), line_of(connection, call.metadata_fields))
        call.on_end(partial(self._skip_if_waiting, task, call, partial(on_abandoned, connection, task.line)))
        if self._tasks.offer(task, task.line, connection):
            return task
        if self._refusals.qsize() < _MOST_REFUSALS:
            self._refusals.put(task)
        elif task.take():
            self._on_skipped(call.path, grpc.StatusCode.RESOURCE_EXHAUSTED)
            task.run(partial(fn, *call.answered_by(partial(self._refuse, call.path)), **kwargs))
        return task

    def run_for(self, connection: str, work: Callable[[], object]) -> bool:
        """Has a thread do what is due to a connection, in its turn, unless there is too much of that already."""
        return self._tasks.offer(_Task(work, connection), connection, connection)

    def refuses(self) -> bool:
        """Whether the current thread has been given its call because it is one too many."""
        return getattr(self._here, "refuses", False)

    def hold_back(self, seconds: float) -> None:
        """Works for some seconds on no further call of the line that the current thread's call has waited in."""
        if line := getattr(self._here, "line", None):
            self._tasks.hold_back(line, seconds)

    def count_in(self, line: str) -> None:
        """Counts the current thread's call as one of another line than it has waited in."""
        task: _Task | None = getattr(self._here, "task", None)
        if task and task.line != line:
            self._tasks.move(task.line, line)
            task.line = line

    def replace(self, idle: int) -> None:
        """Sees to it that as many threads work as ever, although some of them only wait for something.

        Not for several threads at once.

        Args:
            idle: How many of them do; spare threads take the places of as many as there are.
        """
        idle = min(idle, self.spare)
        while self._extra < idle:
            self._turns.put(_TAKE)
            self._extra += 1
        while self._extra > idle:
            self._tasks.end_taker()
            self._extra -= 1

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        self._tasks.close()
        super().shutdown(wait=wait, cancel_futures=cancel_futures)
        self._refusals.put(None)
        for _ in self._threads_of_pool:
            self._turns.put(_END)
            self._tasks.end_taker()
        until = monotonic() + _JOIN_TIMEOUT
        for thread in self._threads_of_pool if wait else ():
            thread.join(max(0.0, until - monotonic()))

    def _start(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        self._threads_of_pool.append(thread)

    def _work(self) -> None:
        while self._turns.get():
            while task := self._tasks.take():
                if work := task.take():
                    if task.ending:
                        self._tasks.hold_back(task.line, _ABANDONED_PAUSE)
                        self._let_go(task, task.ending)
                    else:
                        self._here.line, self._here.task = task.line, task
                        task.run(work)
                        self._here.task = None
                    del work
                self._tasks.end(task.line)
                del task  # a call must not live on until the next one comes

    def _answer_refusals(self) -> None:
        self._here.refuses = True
        while task := self._refusals.get():
            if work := task.take():
                task.run(work)
                del work
            del task  # as above

    def _skip_if_waiting(self, task: "_Task", call: SubmittedCall, on_abandoned: Callable[[], bool]) -> None:
        """Lets go of a call that has ended before a thread took it, at once or in its turn."""
        if not task.waits:
            return
        ending = _Ending(call.path, call.ending)
        if on_abandoned() and self._abandoned(task.line).take():
            task.ending = ending
        elif task.take():
            self._tasks.withdraw(task, task.line)
            self._let_go(task, ending)

    def _let_go(self, task: "_Task", ending: "_Ending") -> None:
        self._on_skipped(*ending)
        task.finish()


class ListenerThreads(CallPool):
    """The threads of a pool for the calls of one listener.

    Args:
        workers: The threads.
        line_of: Which line a call waits in.
        on_abandoned: Called for each call that ended while it waited.
    """

    def __init__(self, workers: WorkerPool, line_of: LineOf, on_abandoned: OnAbandoned) -> None:
        super().__init__()
        self._workers = workers
        self._line_of = line_of
        self._on_abandoned = on_abandoned

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        return self._workers.submit_in_line(self._line_of, self._on_abandoned, fn, *args, **kwargs)


class _Ending(NamedTuple):
    """How a call ended that was never worked on: the path of its method, and the code."""

    path: str
    code: grpc.StatusCode


def _own_line(peer: str, _fields: int) -> str:
    return peer


def _keep_place(_peer: str, _line: str) -> bool:
    return True


class _Task(Future[Any]):
    """A future without a result; only `add_done_callback` is of use."""

    def __init__(self, work: Callable[[], object], line: str) -> None:
        self.line = line
        #: Set where the call has ended and its place is kept until its turn comes.
        self.ending: _Ending | None = None
        self._work = [work]
        self._done = False
        self._callbacks: list[Callable[[Future[Any]], object]] = []

    @property
    def waits(self) -> bool:
        """Whether it has not been taken."""
        return bool(self._work)

    def take(self) -> Callable[[], object] | None:
        """What is to be done, for whoever asks first."""
        try:
            return self._work.pop()
        except IndexError:
            return None

    def run(self, work: Callable[[], object]) -> None:
        """Does what was taken."""
        try:
            work()
        except Exception:  # noqa: BLE001 - a worker goes on to the next call, whatever happened in this one
            _log.exception("work on a call failed")
        self.finish()

    def finish(self) -> None:
        """Says that it is done."""
        self._done = True
        self._call_back()

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        self._callbacks.append(fn)
        if self._done:
            self._call_back()

    def _call_back(self) -> None:
        # Both threads may come here: whichever takes a callback from the list calls it, once.
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:
                return
            callback(self)
