"""Temporary directories that are removed even if their processes are killed."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: The file that a process keeps locked (flock(2)) while it uses the directory.
_LOCK = "lock"


@contextmanager
def private_directory(prefix: str, parent: str | None = None) -> Iterator[Path]:
    """Returns a context manager with a private temporary directory, which is removed at its end.

    Directories with the same prefix that earlier processes have left, whose files are not locked, are removed first.

    Args:
        prefix: The prefix of its name.
        parent: Its parent directory; by default the system's directory for temporary files.

    Raises:
        OSError: It cannot be created.
    """
    _remove_abandoned(prefix, parent or tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as name:
        directory = Path(name)
        with (directory / f"{_LOCK}.new").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # The lock file appears with its lock, so that it is never unlocked.
            Path(lock.name).rename(directory / _LOCK)
            yield directory


def _remove_abandoned(prefix: str, parent: str) -> None:
    for directory in Path(parent).glob(f"{prefix}*"):
        with suppress(OSError):  # it is another user's, in use, or already removed
            if _is_owned(directory):
                _remove_unless_locked(directory)


def _is_owned(directory: Path) -> bool:
    status = directory.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _remove_unless_locked(directory: Path) -> None:
    descriptor = os.open(directory / _LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory)
    finally:
        os.close(descriptor)
