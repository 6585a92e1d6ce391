"""An audit log with one writer thread, which limits how long calls wait for their lines."""

import errno
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from tokend_server.access.audit.log import AuditLog, AuditWriteFailed

#: Seconds that a call waits for its line if lines are required.
WRITE_TIMEOUT = 1.0

#: Seconds that a line waits for others if lines are not required: to wake the writer for each line would double the
#: cost of the line.
DELAY = 0.05

#: The maximum number of lines that wait for the writer.
MAX_WAITING = 1000

#: Seconds that `close` waits for the last lines.
_CLOSE_TIMEOUT = 1.0


class _Job:
    """A task of the writer."""

    __slots__ = ("_done", "error", "is_done", "is_withdrawn", "work")

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.error: AuditWriteFailed | None = None
        self.is_done = False
        self.is_withdrawn = False
        self._done = threading.Lock()
        self._done.acquire()

    def end(self) -> None:
        self.is_done = True
        self._done.release()

    def wait(self, seconds: float) -> bool:
        """Waits for the task, and returns whether it was completed in time."""
        return self._done.acquire(timeout=seconds)


class QueuedAuditLog:
    """An `AuditLog` whose lines are written by a separate thread, in the order of their calls.

    A disk that hangs, or a reader that does not read, blocks only that thread. If lines are required, `write` returns
    when the operating system has the line. If that takes too long, the line is withdrawn and fails; further lines then
    fail at once until the writer continues. If lines are not required, `write` does not block: lines that arrive at
    nearly the same time are written together, and a line fails if the queue is full.

    Args:
        log: The destination of lines.
        required: Whether `write` waits for a line, and raises the error if it cannot be written.
        on_loss: Called with the error of each lost line if lines are not required.
        timeout: Seconds that `write` waits for a line.
        delay: Seconds that a line waits for others if lines are not required.
        max_waiting: The maximum number of lines that wait.
    """

    def __init__(  # noqa: PLR0913 - its parts and limits
        self,
        log: AuditLog,
        *,
        required: bool,
        on_loss: Callable[[AuditWriteFailed], None],
        timeout: float = WRITE_TIMEOUT,
        delay: float = DELAY,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._log = log
        self._required = required
        self._on_loss = on_loss
        self._timeout = timeout
        self._delay = 0.0 if required else delay
        self._max_waiting = max_waiting
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._flush_now = threading.Event()
        self._lock = threading.Lock()
        self._is_late = False
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="audit", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        if self._is_closed:
            raise _failed(errno.EBADF, "it is closed")
        if self._is_late or self._jobs.qsize() >= self._max_waiting:
            raise _too_slow()
        job = _Job(partial(self._log.write, line))
        self._jobs.put(job)
        if self._required:
            self._wait_for(job)

    def reopen(self) -> None:
        """Reopens the log after all earlier lines are written."""
        job = _Job(self._log.reopen)
        self._jobs.put(job)
        self._flush_now.set()
        if not job.wait(WRITE_TIMEOUT):
            raise _too_slow()
        if job.error:
            raise job.error

    def close(self) -> None:
        """Closes the log after the waiting lines are written, or after a second."""
        self._is_closed = True
        self._jobs.put(None)
        self._flush_now.set()
        self._thread.join(_CLOSE_TIMEOUT)

    def _wait_for(self, job: _Job) -> None:
        if not job.wait(self._timeout):
            with self._lock:
                if not job.is_done:
                    self._is_late = job.is_withdrawn = True
            if job.is_withdrawn:
                raise _too_slow()
        if job.error:
            raise job.error

    def _next(self) -> _Job | None:
        """Waits for the next job, and for others to do with it; returns None at the end."""
        is_first = self._jobs.empty()
        job = self._jobs.get()
        if is_first and self._delay:
            self._flush_now.wait(self._delay)
            self._flush_now.clear()
        return job

    def _work(self) -> None:
        while job := self._next():
            if not job.is_withdrawn:
                self._run_job(job)
            with self._lock:
                job.end()
                if self._is_late and self._jobs.empty():
                    self._is_late = False
            del job  # otherwise the line would stay in memory until the next one
        self._log.close()

    def _run_job(self, job: _Job) -> None:
        try:
            job.work()
        except AuditWriteFailed as error:
            job.error = error
        except Exception as error:  # noqa: BLE001 - the writer must continue after any error
            job.error = _failed(errno.EIO, type(error).__name__)
        if job.error and not self._required:
            self._on_loss(job.error)


def _failed(number: int, why: str) -> AuditWriteFailed:
    return AuditWriteFailed("the audit log", OSError(number, why))


def _too_slow() -> AuditWriteFailed:
    return _failed(errno.ETIMEDOUT, "it takes no lines")
