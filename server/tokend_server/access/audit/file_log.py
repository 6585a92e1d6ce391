import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

from tokend_server.access.audit.log import AuditWriteFailed
from tokend_server.clock import Clock
from tokend_server.process.lines import LineWriter

#: Seconds between two checks whether the path still names the open file; a check costs as much as writing a line.
_CHECK_INTERVAL = 1.0

# Never blocks: a FIFO without a reader is an error like a full disk. Lines of several processes are not interleaved.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
_MODE = 0o640


class FileAuditLog:
    """Appends lines to a file, to which other processes may append too.

    If the file is renamed or removed, a new one is created within a second of the next line. If it is truncated in
    place, lines are appended at its new end. A written line has been passed to the operating system, but not flushed to
    the disk.

    Args:
        path: The file; it is created, readable by its owner and group, if it does not exist.
        clock: The time.

    Raises:
        OSError: The file cannot be opened; `filename` and `strerror` contain its name and the reason.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = os.fspath(path)
        self._clock = clock
        self._lock = threading.Lock()
        self._descriptor = -1
        self._open()

    def write(self, line: bytes) -> None:
        try:
            with self._lock:
                self._reopen_if_renamed()
                self._lines.write(line)
        except OSError as error:
            raise AuditWriteFailed(self._path, error) from error

    def reopen(self) -> None:
        try:
            with self._lock:
                self._open()
        except OSError as error:
            raise AuditWriteFailed(self._path, error) from error

    def close(self) -> None:
        with self._lock:
            self._release()
            self._next_check = float("inf")

    def _reopen_if_renamed(self) -> None:
        if self._clock.monotonic() < self._next_check:
            return
        if _identity_at(self._path) == self._identity:
            self._next_check = self._clock.monotonic() + _CHECK_INTERVAL
        else:
            self._open()

    def _open(self) -> None:
        descriptor = os.open(self._path, _FLAGS, _MODE)
        self._release()
        self._descriptor = descriptor
        status = os.fstat(descriptor)
        self._identity = _identity(status)
        self._lines = LineWriter(self._append, cut_off=_ends_in_mid_line(self._path, status))
        self._next_check = self._clock.monotonic() + _CHECK_INTERVAL

    def _append(self, data: bytes) -> int:
        return os.write(self._descriptor, data)

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _identity_at(path: str) -> tuple[int, int] | None:
    try:
        return _identity(os.stat(path))  # noqa: PTH116 - a third cheaper than by Path
    except FileNotFoundError:
        return None


def _ends_in_mid_line(path: str, status: os.stat_result) -> bool:
    """Returns whether the file ends in an incomplete line, as after a full disk; False if it cannot be read."""
    if stat.S_ISREG(status.st_mode) and status.st_size > 0:
        with suppress(OSError), Path(path).open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    return False
