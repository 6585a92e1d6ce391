"""An audit log that no call waits for longer than it may: one thread writes, and the calls look on."""

import errno
import threading
from collections.abc import Callable
from queue import SimpleQueue

from tokend_server.access.audit.log import AuditLog, AuditWriteFailed

#: Seconds that a call waits for its line if it fails without it, and if it does not.
REQUIRED_PATIENCE = 1.0
PATIENCE = 0.1

#: Lines that may wait for the writer.
MOST_WAITING = 1000

#: Seconds that the end waits for the last lines.
_CLOSING_PATIENCE = 1.0


class _Job:
    """Something that the writer is to do."""

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
        """Whether it was done in time."""
        return self._done.acquire(timeout=seconds)


class QueuedAuditLog:
    """An `AuditLog` whose lines are written by a thread of its own, in the order of their calls.

    A disk that hangs, or a reader that does not read, holds that thread alone. `write` returns when the operating
    system has the line. When that takes too long, what follows depends on whether lines are required. A required line
    is withdrawn and fails; so do those that follow, at once, until the writer goes on. Any other line stays in the
    queue, and those that follow join it without waiting while there is room.

    Args:
        log: Where lines go.
        required: Whether `write` raises what keeps a line from being written.
        on_loss: Called with the error of each line that was lost where it does not.
        patience: Seconds that `write` waits; by default what suits `required`.
        most_waiting: How many lines wait at most.
    """

    def __init__(
        self,
        log: AuditLog,
        *,
        required: bool,
        on_loss: Callable[[AuditWriteFailed], None],
        patience: float | None = None,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._log = log
        self._required = required
        self._on_loss = on_loss
        self._patience = (REQUIRED_PATIENCE if required else PATIENCE) if patience is None else patience
        self._most_waiting = most_waiting
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._is_late = False
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="audit", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        is_late = self._is_late
        if self._is_closed:
            raise _failed(errno.EBADF, "it is closed")
        if is_late and (self._required or self._jobs.qsize() >= self._most_waiting):
            raise _too_slow()
        job = _Job(lambda: self._log.write(line))
        self._jobs.put(job)
        if not is_late:
            self._await(job)

    def reopen(self) -> None:
        job = _Job(self._log.reopen)
        self._jobs.put(job)
        if not job.wait(REQUIRED_PATIENCE):
            raise _too_slow()
        if job.error:
            raise job.error

    def close(self) -> None:
        """Ends the log when the lines that wait are written, or after a second."""
        self._is_closed = True
        self._jobs.put(None)
        self._thread.join(_CLOSING_PATIENCE)

    def _await(self, job: _Job) -> None:
        if not job.wait(self._patience):
            with self._lock:
                if not job.is_done:
                    self._is_late = True
                    job.is_withdrawn = self._required
            if job.is_withdrawn:
                raise _too_slow()
        if self._required and job.error:
            raise job.error

    def _work(self) -> None:
        while job := self._jobs.get():
            if not job.is_withdrawn:
                self._do(job)
            with self._lock:
                job.end()
                if self._is_late and self._jobs.empty():
                    self._is_late = False
            del job  # a line must not live on until the next one comes
        self._log.close()

    def _do(self, job: _Job) -> None:
        try:
            job.work()
        except AuditWriteFailed as error:
            job.error = error
        except Exception as error:  # noqa: BLE001 - the writer goes on, whatever happened to this line
            job.error = _failed(errno.EIO, type(error).__name__)
        if job.error and not self._required:
            self._on_loss(job.error)


def _failed(number: int, why: str) -> AuditWriteFailed:
    return AuditWriteFailed("the audit log", OSError(number, why))


def _too_slow() -> AuditWriteFailed:
    return _failed(errno.ETIMEDOUT, "it takes no lines")
