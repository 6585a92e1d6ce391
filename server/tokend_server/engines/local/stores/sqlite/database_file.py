"""Checks that the open database file is still the one at its path."""

import os
from pathlib import Path

from tokend_server.errors import EngineUnavailable

_ADVICE = "Put the file back, or restart all servers that use it so that they open the current file."


class DatabaseFile:
    """The open database file and its write-ahead log.

    A process that has opened a file continues to write to it after it was moved, deleted or replaced. These writes
    would be lost, because other processes open the new file.

    Args:
        path: The path of the open database.

    Raises:
        OSError: There is no file.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._log_path = str(log_of(path))
        self._file = _identity(self._path)
        self._log = _identity(self._log_path)

    def check(self) -> None:
        """Checks that the path leads to the open file.

        Raises:
            EngineUnavailable: It does not.
        """
        self._check(self._path, self._file)

    def check_with_log(self) -> None:
        """Checks the log's path as well, because the log is needed after a restart.

        Raises:
            EngineUnavailable: One of the paths leads to another file, or to none.
        """
        self._check(self._path, self._file)
        self._check(self._log_path, self._log)

    @staticmethod
    def _check(path: str, opened: tuple[int, int]) -> None:
        try:
            status = os.stat(path)  # noqa: PTH116 - at every read: a Path costs twice as much
        except OSError as error:
            gone = EngineUnavailable(f"The identity store's file is gone ({error.strerror}).")
            raise gone.with_advice(_ADVICE) from error
        if (status.st_dev, status.st_ino) != opened:
            raise EngineUnavailable("The identity store's file was replaced by another one.").with_advice(_ADVICE)


def log_of(path: Path) -> Path:
    """Returns the path of a database's write-ahead log: next to the file, after resolving links."""
    file = Path(os.path.realpath(path)) if path.is_symlink() else path
    return file.with_name(f"{file.name}-wal")


def _identity(path: str) -> tuple[int, int]:
    status = Path(path).stat()
    return status.st_dev, status.st_ino
