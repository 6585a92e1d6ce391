"""Ensures one writer per file, even if several agents are configured to write it."""

import fcntl
import os

from tokend_client import forks


class HeldByAnother(Exception):
    """Raised if another process holds the lock."""


class FileLock:
    """A flock(2) lock on a file next to the token's, which the kernel releases when the process ends.

    The file stays, since another process may wait for it. A forked child does not share its parent's lock.

    Args:
        name: The file's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._descriptor: int | None = None
        forks.register(self)

    def acquire(self, directory: int) -> bool:
        """Acquires the lock, if this process does not hold it.

        Returns:
            Whether it was acquired by this call.

        Raises:
            HeldByAnother: Another process holds it.
            OSError: The file cannot be created or opened.
        """
        if self._descriptor is not None and _is_same(self._descriptor, directory, self._name):
            return False
        # No lock yet, or the directory was deleted and created again: the lock in the deleted one has no effect.
        self.release()
        # Read-only: a file that is open for writing prevents a read-only remount of its file system.
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
        """Releases the lock."""
        if self._descriptor is not None:
            # Closing is not enough: a child that was just forked may not have closed its descriptor yet.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._close()

    def after_fork(self) -> None:
        """Closes the child's descriptor, which would keep the lock after the parent's end."""
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
