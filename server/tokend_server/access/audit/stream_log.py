import errno
import os
import select
import threading

from tokend_server.access.audit.log import AuditWriteFailed
from tokend_server.clock import Clock, Deadline
from tokend_server.process.lines import LineWriter

#: Seconds that a line waits for the reader.
_WRITE_TIMEOUT = 1.0


class StreamAuditLog:
    """Writes lines to a stream such as standard output, and waits for its reader for at most a second.

    After such a timeout, further lines fail at once until the reader has read one.

    Args:
        descriptor: The stream. Its owner closes it; no other code should write to it.
        clock: The time.
        timeout: Seconds that a line waits.
    """

    def __init__(self, descriptor: int, clock: Clock, *, timeout: float = _WRITE_TIMEOUT) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._timeout = timeout
        self._lock = threading.Lock()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._deadline = Deadline(clock)
        self._lines = LineWriter(self._write_some)
        self._stalled = False

    def write(self, line: bytes) -> None:
        try:
            self._write(line)
        except OSError as error:
            raise AuditWriteFailed("the audit stream", error) from error

    def reopen(self) -> None:
        """Does nothing: a stream cannot be renamed."""

    def close(self) -> None:
        with self._lock:
            self._descriptor = -1

    def _write(self, line: bytes) -> None:
        deadline = Deadline(self._clock).within(self._timeout)
        if not self._lock.acquire(timeout=self._timeout):
            raise _not_read()
        try:
            self._deadline = deadline
            self._lines.write(line)
            self._stalled = False
        finally:
            self._lock.release()

    def _write_some(self, data: bytes) -> int:
        seconds = 0.0 if self._stalled else self._deadline.remaining()
        if not self._poll.poll(seconds * 1000):
            self._stalled = True
            raise _not_read()
        # A stream that is ready accepts at least this many bytes without blocking (POSIX, pipes).
        return os.write(self._descriptor, data[: select.PIPE_BUF])


def _not_read() -> TimeoutError:
    return TimeoutError(errno.ETIMEDOUT, "nothing reads it")
