"""The threads that work on calls."""

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Any

from tokend_server.clock import Clock
from tokend_server.rpc.fair_queue import FairQueue

_log = logging.getLogger(__name__)


class WorkerPool(ThreadPoolExecutor):
    """A thread pool for a gRPC server, which asks of submitted work only to be told when it is done.

    A `Future` that could also be waited for costs a lock and a condition variable for every call, about a tenth of
    all that gRPC costs.

    Args:
        workers: How many threads there are, from the start.
        most: How many calls wait or are worked on before further ones are refused, those of the connections with the
            most of them.
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
        connection = _connection(args)
        task = _Task(lambda: fn(*args, **kwargs), connection)
        if self._tasks.offer(task, connection):
            return task
        return super().submit(fn, *args, **kwargs)

    def refuses(self) -> bool:
        """Whether the current thread has been given its call because it is one too many."""
        return getattr(self._here, "refuses", False)

    def hold_back(self, connection: str, seconds: float) -> None:
        """Works on no further call of a connection, as gRPC calls its peer, for some seconds."""
        self._tasks.hold_back(connection, seconds)

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
            task.run()
            self._tasks.end(task.connection)
            del task  # a call must not live on until the next one comes
        with self._lock:
            self._workers.discard(threading.current_thread())


def _connection(arguments: Iterable[Any]) -> str:
    """The connection of a call, as gRPC calls its peer, from the arguments of what gRPC submits.

    They are no public interface. Where they are others, all calls stand in one line.
    """
    for argument in arguments:
        if peer := getattr(getattr(argument, "call", None), "peer", None):
            name = peer()
            return name.decode() if isinstance(name, bytes) else str(name)
    return ""


class _Task(Future[Any]):
    """A future without a result; only `add_done_callback` is of use."""

    def __init__(self, work: Callable[[], Any], connection: str) -> None:
        self._work = work
        self.connection = connection
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
