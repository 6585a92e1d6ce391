"""Temporary directories that do not outlive their processes for long, however these end."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: The file that a process holds locked (flock(2)) for as long as the directory is its own.
_LOCK = "lock"


@contextmanager
def own_directory(prefix: str, parent: str | None = None) -> Iterator[Path]:
    """A temporary directory of this process, readable by its user alone, which is removed at the end.

    Those that earlier processes have left with the same prefix are removed first: the ones whose lock has no holder.

    Args:
        prefix: What its name begins with.
        parent: Where it is; by default where the system has temporary files.

    Raises:
        OSError: There can be none.
    """
    _remove_abandoned(prefix, parent or tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as name:
        directory = Path(name)
        with (directory / f"{_LOCK}.new").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # The name appears with the lock, so that nothing under it is ever without one.
            Path(lock.name).rename(directory / _LOCK)
            yield directory


def _remove_abandoned(prefix: str, parent: str) -> None:
    for directory in Path(parent).glob(f"{prefix}*"):
        with suppress(OSError):  # it is another user's, in use, or has gone meanwhile
            if _is_own(directory):
                _remove_unless_locked(directory)


def _is_own(directory: Path) -> bool:
    status = directory.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _remove_unless_locked(directory: Path) -> None:
    descriptor = os.open(directory / _LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory)
    finally:
        os.close(descriptor)
