"""Writes the log in a separate thread, so that no other thread waits for the reader of the log."""

import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from tokend_server.process.lines import LineWriter

_log = logging.getLogger(__name__)

#: The maximum number of octets that wait to be written; further lines are dropped.
MAX_WAITING = 4 * 1024 * 1024

#: Seconds that the process waits for the last lines at its end.
_CLOSE_TIMEOUT = 0.5

_NOTICE = "log records were dropped, because they could not be written"


class LogWriter(logging.Handler):
    """A handler that never blocks and never raises: records that cannot be written are dropped and counted.

    Args:
        descriptor: The destination, which its owner closes.
        max_waiting: The maximum number of octets that wait.
    """

    def __init__(self, descriptor: int, *, max_waiting: int = MAX_WAITING) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._to_descriptor = LineWriter(self._write_some)
        self._ready = select.poll()
        self._ready.register(descriptor, select.POLLOUT)
        self._max_waiting = max_waiting
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        self._unreported = 0
        self._uncounted = 0
        self._on_drop: Callable[[int], None] | None = None
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def set_drop_counter(self, on_drop: Callable[[int], None]) -> None:
        """Sets the counter of dropped records, and counts earlier ones.

        Args:
            on_drop: Called with the number of dropped records.
        """
        with self._changed:
            self._on_drop = on_drop
            self._count(self._uncounted)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode(errors="backslashreplace")
        except Exception:  # noqa: BLE001 - there is no place where this could be logged
            self._drop()
            return
        with self._changed:
            if self._waiting + len(line) <= self._max_waiting and not self._is_closed:
                self._lines.append(line)
                self._waiting += len(line)
                self._changed.notify_all()
                return
        self._drop()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - the library's name
        """Counts the record; logging's default prints a traceback."""
        self._drop()

    def flush(self) -> None:
        """Waits until all lines are written, for at most half a second."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, _CLOSE_TIMEOUT)

    def close(self) -> None:
        """Accepts no more records, and waits for the last lines, for at most half a second."""
        with self._changed:
            already, self._is_closed = self._is_closed, True
            self._changed.notify_all()
        if threading.current_thread() is self._thread:
            self._work()  # an error has ended its own loop, and this is the end of the process
        elif not already:
            self._thread.join(_CLOSE_TIMEOUT)
        super().close()

    def _drop(self) -> None:
        with self._changed:
            self._unreported += 1
            self._count(1)

    def _count(self, number: int) -> None:
        if self._on_drop is None:
            self._uncounted += number
        elif number:
            self._on_drop(number)

    def _work(self) -> None:
        while (line := self._next()) is not None:
            is_written = self._write(line)
            with self._changed:
                self._waiting -= len(line)
                self._changed.notify_all()
            if is_written:  # otherwise the notice itself could not be written
                self._report()

    def _write(self, line: bytes) -> bool:
        try:
            self._to_descriptor.write(line)
        except OSError:
            self._drop()
            return False
        return True

    def _next(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._is_closed)
            return self._lines.popleft() if self._lines else None

    def _report(self) -> None:
        """Logs the number of dropped records after the last waiting line is written."""
        with self._changed:
            number = 0 if self._waiting else self._unreported
            self._unreported -= number
        if number:
            extra = {"count": number}
            self.handle(_log.makeRecord(__name__, logging.WARNING, __file__, 0, _NOTICE, (), None, extra=extra))

    def _write_some(self, data: bytes) -> int:
        while True:
            self._ready.poll()
            with suppress(BlockingIOError):  # another writer has filled the pipe
                # In pieces that pipes write atomically (POSIX), so that they do not mix with other writers' data.
                return os.write(self._descriptor, data[: select.PIPE_BUF])
