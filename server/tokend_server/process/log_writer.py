"""Writes the log by a thread of its own, so that nothing waits for whoever should read it."""

import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from tokend_server.process.lines import LineWriter

_log = logging.getLogger(__name__)

#: Octets that may wait to be written; a line beyond them is dropped.
MOST_WAITING = 4 * 1024 * 1024

#: Seconds that the end of the process waits for the last lines.
_CLOSING_PATIENCE = 0.5

_NOTICE = "log records were dropped, since nothing took them"


class LogWriter(logging.Handler):
    """A handler that never waits and never raises: a record that cannot be written is dropped and counted.

    Args:
        descriptor: Where to; it stays its owner's.
        most_waiting: Octets that may wait.
    """

    def __init__(self, descriptor: int, *, most_waiting: int = MOST_WAITING) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._to_descriptor = LineWriter(self._write_some)
        self._ready = select.poll()
        self._ready.register(descriptor, select.POLLOUT)
        self._most_waiting = most_waiting
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        self._unreported = 0
        self._uncounted = 0
        self._on_drop: Callable[[int], None] | None = None
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def tell_dropped(self, on_drop: Callable[[int], None]) -> None:
        """Has each drop counted, those before too.

        Args:
            on_drop: Called with how many records were dropped.
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
            if self._waiting + len(line) <= self._most_waiting and not self._is_closed:
                self._lines.append(line)
                self._waiting += len(line)
                self._changed.notify_all()
                return
        self._drop()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - the library's name
        """Counts it; the library would print a traceback."""
        self._drop()

    def flush(self) -> None:
        """Waits until all lines are written, half a second at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, _CLOSING_PATIENCE)

    def close(self) -> None:
        """Takes no more records, and waits for the last lines, half a second at most."""
        with self._changed:
            already, self._is_closed = self._is_closed, True
            self._changed.notify_all()
        if threading.current_thread() is self._thread:
            self._work()  # an error has ended its own loop, and this is the end of the process
        elif not already:
            self._thread.join(_CLOSING_PATIENCE)
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
            if is_written:  # a report where nothing can be written would be one more to report
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
        """Logs how many were dropped, when the last line that waited is written."""
        with self._changed:
            number = 0 if self._waiting else self._unreported
            self._unreported -= number
        if number:
            extra = {"count": number}
            self.handle(_log.makeRecord(__name__, logging.WARNING, __file__, 0, _NOTICE, (), None, extra=extra))

    def _write_some(self, data: bytes) -> int:
        while True:
            self._ready.poll()
            with suppress(BlockingIOError):  # another writer has filled it meanwhile
                # In pieces that pipes take whole (POSIX), so that they do not mix with what others write there.
                return os.write(self._descriptor, data[: select.PIPE_BUF])
