"""The threads that work on calls."""

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Any, TypeAlias

from tokend_server.clock import Clock
from tokend_server.rpc.fair_queue import FairQueue

_log = logging.getLogger(__name__)

#: Tells which line a call waits in, by its connection, as gRPC calls its peer, and the number of its metadata fields.
LineOf: TypeAlias = Callable[[str, int], str]


class WorkerPool(ThreadPoolExecutor):
    """A thread pool for a gRPC server, which asks of submitted work only to be told when it is done.

    A `Future` that could also be waited for costs a lock and a condition variable for every call, about a tenth of
    all that gRPC costs.

    Args:
        workers: How many threads there are, from the start.
        most: How many calls wait or are worked on before further ones are refused, those of the lines with the most of
            them.
        clock: Measures pauses.
    """

    def __init__(self, workers: int, most: int, clock: Clock) -> None:
        super().__init__(1, "grpc-refusal", self._begin_refusing)
        self._here = threading.local()
        self._tasks: FairQueue[_Task] = FairQueue(most, clock)
        self._numbers = count()
        self._lock = threading.Lock()
        self._workers: set[threading.Thread] = set()
        self._extra = 0
        for _ in range(workers):
            self._start_worker()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        return self.submit_in_line(lambda peer, _fields: peer, fn, *args, **kwargs)

    def submit_in_line(self, line_of: LineOf, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """As `submit`, in a line of the listener's choice."""
        connection, fields = _connection(args)
        line = line_of(connection, fields)
        task = _Task(lambda: fn(*args, **kwargs), line)
        if self._tasks.offer(task, line, connection):
            return task
        return super().submit(fn, *args, **kwargs)

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
            idle: How many of them do.

        Raises:
            RuntimeError: The operating system has no more threads; as many as it had work now.
        """
        while self._extra < idle:
            self._start_worker()
            self._extra += 1
        while self._extra > idle:
            self._tasks.end_taker()
            self._extra -= 1

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        self._tasks.close()
        super().shutdown(wait=wait, cancel_futures=cancel_futures)
        with self._lock:
            workers = tuple(self._workers)
        for _ in workers:
            self._tasks.end_taker()
        if wait:
            for worker in workers:
                worker.join()

    def _begin_refusing(self) -> None:
        self._here.refuses = True

    def _start_worker(self) -> None:
        worker = threading.Thread(target=self._work, name=f"grpc-{next(self._numbers)}", daemon=True)
        with self._lock:
            worker.start()
            self._workers.add(worker)

    def _work(self) -> None:
        while task := self._tasks.take():
            self._here.line, self._here.task = task.line, task
            task.run()
            self._here.task = None
            self._tasks.end(task.line)
            del task  # a call must not live on until the next one comes
        with self._lock:
            self._workers.discard(threading.current_thread())


class ListenerThreads(ThreadPoolExecutor):
    """The threads of a pool for the calls of one listener.

    Args:
        workers: The threads.
        line_of: Which line a call waits in.
    """

    def __init__(self, workers: WorkerPool, line_of: LineOf) -> None:
        super().__init__(1)  # gRPC asks for this type, and of it for `submit` alone
        self._workers = workers
        self._line_of = line_of

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        return self._workers.submit_in_line(self._line_of, fn, *args, **kwargs)


def _connection(arguments: Iterable[Any]) -> tuple[str, int]:
    """The connection of a call, as gRPC calls its peer, and the number of its metadata fields.

    They are found in the arguments of what gRPC submits, which are no public interface. Where they are others, all
    calls stand in one line.
    """
    for argument in arguments:
        if peer := getattr(getattr(argument, "call", None), "peer", None):
            name = peer()
            fields = len(getattr(argument, "invocation_metadata", None) or ())
            return name.decode() if isinstance(name, bytes) else str(name), fields
    return "", 0


class _Task(Future[Any]):
    """A future without a result; only `add_done_callback` is of use."""

    def __init__(self, work: Callable[[], Any], line: str) -> None:
        self._work = work
        self.line = line
        self._done = False
        self._callbacks: list[Callable[[Future[Any]], object]] = []

    def run(self) -> None:
        try:
            self._work()
        except Exception:  # noqa: BLE001 - a worker goes on to the next call, whatever happened in this one
            _log.exception("work on a call failed")
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
