"""The threads that work on calls."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import Any, NamedTuple, TypeAlias

import grpc

from tokend_server.clock import Clock
from tokend_server.lru_cache import one_per_key
from tokend_server.rpc.fair_queue import FairQueue
from tokend_server.rpc.grpc_internals import CallPool, SubmittedCall
from tokend_server.token_bucket import TokenBucket

_log = logging.getLogger(__name__)

#: Returns the line of a call, from its connection, as gRPC names its peer, and the number of its metadata fields.
LineOf: TypeAlias = Callable[[str, int], str]

#: Records that a call ended while it waited, by its connection and its line, and returns whether it may have to keep
#: its place.
OnAbandoned: TypeAlias = Callable[[str, str], bool]

#: The rate in calls a second, and the burst, at which calls of a line are released as soon as they end while they wait.
#: Each costs gRPC as much as an answered call, and its connection may then make another.
_ABANDONED_PER_SECOND, _ABANDONED_BURST = 500.0, 1000

#: Seconds that a line pauses after each further such call, which keeps its place until its turn.
_ABANDONED_PAUSE = 0.01

#: The number of lines that are remembered for this; the least recent is forgotten.
_MAX_REMEMBERED = 10_000

#: The number of refused calls that may wait for their responses. Further calls are refused by the submitting thread.
_MAX_REFUSALS = 1000

#: Seconds that a shutdown waits for the threads to end; all are daemons.
_JOIN_TIMEOUT = 5.0

#: The commands to a thread: take tasks until it is asked to stop, or end.
_TAKE, _END = True, False

#: Called for a call that ended before any work on it, with the path of its method and its status code.
OnSkipped = Callable[[str, grpc.StatusCode], None]

#: Refuses a call without blocking: takes the path of its method, and then the arguments from grpc.
Refuse = Callable[..., Any]


class WorkerPool(CallPool):
    """A thread pool for a gRPC server, which needs only a callback at the end of submitted work.

    A `Future` that can be waited for costs a lock and a condition variable for every call, about a tenth of the total
    cost of gRPC. All threads start with the pool: gRPC's serving thread ends permanently if `submit` raises.

    A call that ends while it waits, because its client or its connection is gone or its deadline has passed, is
    released at once: until then it keeps its place here and its stream on the connection. A line with too many such
    calls keeps their places, so that gRPC itself refuses calls beyond a connection's maximum.

    Args:
        workers: The number of calls that run at once.
        max_tasks: The number of calls that wait or run from which on calls of the lines with the most calls are
            refused.
        clock: Measures pauses.
        refuse: Refuses a call because there are too many.
        on_skipped: Called for each call that ended while it waited, or that was only passed to `refuse`.
        spare: The number of further threads that replace blocked ones.
        name: The prefix of the threads' names.

    Raises:
        RuntimeError: The operating system refuses to start another thread; the started ones have ended.
    """

    def __init__(  # noqa: PLR0913 - all its parts
        self,
        workers: int,
        max_tasks: int,
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
        self._tasks: FairQueue[_Task] = FairQueue(max_tasks, clock)
        self._abandoned = one_per_key(
            lambda _line: TokenBucket(_ABANDONED_PER_SECOND, _ABANDONED_BURST, clock), _MAX_REMEMBERED
        )
        self._refusals: SimpleQueue[_Task | None] = SimpleQueue()
        # One for each thread that should take tasks, or end.
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
        """As `submit`, in a line that the listener chooses; it is notified of calls that end while they wait."""
        call = SubmittedCall(args)
        connection = call.connection
        task = _Task(partial(fn, *args, **kwargs), line_of(connection, call.metadata_fields))
        call.on_end(partial(self._skip_if_waiting, task, call, partial(on_abandoned, connection, task.line)))
        if self._tasks.offer(task, task.line, connection):
            return task
        if self._refusals.qsize() < _MAX_REFUSALS:
            self._refusals.put(task)
        elif task.take():
            self._on_skipped(call.path, grpc.StatusCode.RESOURCE_EXHAUSTED)
            task.run(partial(fn, *call.answered_by(partial(self._refuse, call.path)), **kwargs))
        return task

    def run_for(self, connection: str, work: Callable[[], object]) -> bool:
        """Runs work for a connection in a thread, in its turn; returns False if too much work waits."""
        return self._tasks.offer(_Task(work, connection), connection, connection)

    def must_refuse(self) -> bool:
        """Returns whether the current thread must refuse its call because there are too many."""
        return getattr(self._here, "refuses", False)

    def pause_line(self, seconds: float) -> None:
        """Pauses the line of the current thread's call for some seconds."""
        if line := getattr(self._here, "line", None):
            self._tasks.pause(line, seconds)

    def count_in(self, line: str) -> None:
        """Counts the current thread's call in a line other than the one in which it waited."""
        task: _Task | None = getattr(self._here, "task", None)
        if task and task.line != line:
            self._tasks.move(task.line, line)
            task.line = line

    def replace(self, idle: int) -> None:
        """Keeps the number of working threads constant although some of them are blocked.

        Must not be called by several threads at once.

        Args:
            idle: The number of blocked threads; spare threads replace as many as possible.
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
                        self._tasks.pause(task.line, _ABANDONED_PAUSE)
                        self._release(task, task.ending)
                    else:
                        self._here.line, self._here.task = task.line, task
                        task.run(work)
                        self._here.task = None
                    del work
                self._tasks.end(task.line)
                del task  # otherwise the call would stay in memory until the next one

    def _answer_refusals(self) -> None:
        self._here.refuses = True
        while task := self._refusals.get():
            if work := task.take():
                task.run(work)
                del work
            del task  # as above

    def _skip_if_waiting(self, task: "_Task", call: SubmittedCall, on_abandoned: Callable[[], bool]) -> None:
        """Releases a call that ended before a thread took it, at once or in its turn."""
        if not task.waits:
            return
        ending = _Ending(call.path, call.ending)
        if on_abandoned() and self._abandoned(task.line).take():
            task.ending = ending
        elif task.take():
            self._tasks.withdraw(task, task.line)
            self._release(task, ending)

    def _release(self, task: "_Task", ending: "_Ending") -> None:
        self._on_skipped(*ending)
        task.finish()


class ListenerThreads(CallPool):
    """A pool's threads for the calls of one listener.

    Args:
        workers: The threads.
        line_of: Returns the line of a call.
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
    """The end of a call before any work on it: the path of its method, and the status code."""

    path: str
    code: grpc.StatusCode


def _own_line(peer: str, _fields: int) -> str:
    return peer


def _keep_place(_peer: str, _line: str) -> bool:
    return True


class _Task(Future[Any]):
    """A future without a result; only `add_done_callback` is supported."""

    def __init__(self, work: Callable[[], object], line: str) -> None:
        self.line = line
        #: Set if the call has ended and keeps its place until its turn.
        self.ending: _Ending | None = None
        self._work = [work]
        self._done = False
        self._callbacks: list[Callable[[Future[Any]], object]] = []

    @property
    def waits(self) -> bool:
        """Returns whether it has not been taken."""
        return bool(self._work)

    def take(self) -> Callable[[], object] | None:
        """Returns the work to the first thread that calls this; None to others."""
        try:
            return self._work.pop()
        except IndexError:
            return None

    def run(self, work: Callable[[], object]) -> None:
        """Runs the work."""
        try:
            work()
        except Exception:  # noqa: BLE001 - a worker must continue with the next call after any error
            _log.exception("work on a call failed")
        self.finish()

    def finish(self) -> None:
        """Calls the callbacks at the end of the task."""
        self._done = True
        self._call_back()

    def add_done_callback(self, fn: Callable[[Future[Any]], object]) -> None:
        self._callbacks.append(fn)
        if self._done:
            self._call_back()

    def _call_back(self) -> None:
        # Both threads may get here: the one that removes a callback from the list calls it, once.
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:
                return
            callback(self)
