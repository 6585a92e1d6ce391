"""The threads that work on calls."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from queue import SimpleQueue
from typing import Any

_log = logging.getLogger(__name__)


class WorkerPool(ThreadPoolExecutor):
    """A thread pool for a gRPC server, which asks of submitted work only to be told when it is done.

    A `Future` that could also be waited for costs a lock and a condition variable for every call, about a tenth of
    all that gRPC costs.

    Args:
        workers: How many threads there are, from the start.
    """

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._numbers = count()
        self._lock = threading.Lock()
        self._workers: set[threading.Thread] = set()
        self._extra = 0
        for _ in range(workers):
            self._start_worker()

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
            self._tasks.put(None)
            self._extra -= 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        task = _Task(lambda: fn(*args, **kwargs))
        self._tasks.put(task)
        return task

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        super().shutdown(wait=wait, cancel_futures=cancel_futures)
        with self._lock:
            workers = tuple(self._workers)
        for _ in workers:
            self._tasks.put(None)
        if wait:
            for worker in workers:
                worker.join()

    def _start_worker(self) -> None:
        worker = threading.Thread(target=self._work, name=f"grpc-{next(self._numbers)}", daemon=True)
        with self._lock:
            worker.start()
            self._workers.add(worker)

    def _work(self) -> None:
        while task := self._tasks.get():
            task.run()
            del task  # a call must not live on until the next one comes
        with self._lock:
            self._workers.discard(threading.current_thread())


class _Task(Future[Any]):
    """A future without a result; only `add_done_callback` is of use."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
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
