"""One writer for a file, however many agents are configured to write it."""

import fcntl
import os

from tokend_client import forks


class HeldByAnother(Exception):
    """Raised where another process has the lock."""


class FileLock:
    """A lock of flock(2) on a file beside the token's, which the kernel ends with the process.

    The file stays: another process may wait for it. A forked child has no part in the lock of its parent.

    Args:
        name: The file's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._descriptor: int | None = None
        forks.remember(self)

    @property
    def is_held(self) -> bool:
        """Whether it was acquired, and not released."""
        return self._descriptor is not None

    def acquire(self, directory: int) -> bool:
        """Takes the lock, if this process does not have it.

        Returns:
            Whether it did not have it before.

        Raises:
            HeldByAnother: Another process has it.
            OSError: The file cannot be made or opened.
        """
        if self._descriptor is not None and _is_same(self._descriptor, directory, self._name):
            return False
        # None yet, or a directory that was deleted and made once more: the lock of the one before keeps no one out.
        self.release()
        # To read: a file that is open to be written keeps its file system from becoming read-only.
        flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._name, flags, 0o600, dir_fd=directory)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_same(descriptor, directory, self._name):
                raise HeldByAnother  # noqa: TRY301 - of a file that was removed meanwhile: the next try has another
        except BlockingIOError:
            os.close(descriptor)
            raise HeldByAnother from None
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Lets others have it."""
        if self._descriptor is not None:
            # To close it is not enough: a child that was forked a moment ago may not have closed its own.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._close()

    def after_fork(self) -> None:
        """Closes the child's descriptor, which would hold the lock of a parent that has ended."""
        self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _is_same(descriptor: int, directory: int, name: str) -> bool:
    try:
        there = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)
