"""The file of one token: written atomically, by one process, and checked for changes by others."""

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

from tokend_client.agent import directories
from tokend_client.agent.configuration import TokenSettings
from tokend_client.agent.directories import Access
from tokend_client.agent.file_lock import FileLock, HeldByAnother
from tokend_client.agent.layouts import FileLayout, Layout, ProjectedLayout


class FileProblem(Exception):
    """Raised if a file cannot be managed; the text contains the cause and a remedy.

    Attributes:
        cause: The name of the errno, for metrics.
    """

    def __init__(self, text: str, cause: str) -> None:
        super().__init__(text)
        self.cause = cause


_ADVICE: Mapping[int, str] = MappingProxyType(
    {
        errno.EACCES: "the agent's user may not do that in this directory",
        errno.EBUSY: "the file itself is a mount, which cannot be replaced: mount its directory instead",
        errno.EDQUOT: "free up space; until then the file keeps the previous token",
        errno.EFBIG: "the file size limit (RLIMIT_FSIZE) is smaller than a token",
        errno.EISDIR: "a directory is in the way",
        errno.ENOENT: "create the directory: its owner and mode decide who can read tokens",
        errno.ENOSPC: "free up space; until then the file keeps the previous token",
        errno.ENOTDIR: "a parent is not a directory",
        errno.EPERM: "another owner requires the capability CAP_CHOWN, another group requires membership",
        errno.EROFS: "the mount is read-only",
    }
)


class TokenFile:
    """The file of one token, in an existing directory.

    Args:
        settings: Its path, layout, owner and mode.
        now: Seconds since the Unix epoch.
    """

    def __init__(self, settings: TokenSettings, now: Callable[[], float]) -> None:
        self._parent = settings.file.parent
        self._name = settings.file.name
        access = Access(settings.mode, settings.owner, settings.group)
        self._layout: Layout = (
            ProjectedLayout(self._name, access, now)
            if settings.layout == "projected"
            else FileLayout(self._name, access)
        )
        self._lock = FileLock(f".{self._name}.lock")
        self._written: tuple[int, ...] | None = None

    def claim(self) -> bool:
        """Acquires the file's lock, so that only this process writes the file.

        Returns:
            Whether it was acquired by this call.

        Raises:
            HeldByAnother: Another process holds it.
            FileProblem: The lock cannot be acquired.
        """
        with self._directory() as directory:
            is_new = self._lock.acquire(directory)
            if is_new:
                self._layout.clean(directory)
                self._written = None
        return is_new

    def read(self) -> bytes | None:
        """Returns the content of the file; None if there is none.

        Raises:
            FileProblem: It cannot be read.
        """
        with self._directory() as directory:
            return directories.read(directory, self._name)

    def write(self, content: bytes) -> None:
        """Replaces the content of the file.

        Raises:
            FileProblem: The write failed. The old content is kept.
        """
        with self._directory() as directory:
            directories.reject_device(directory, self._name)
            self._layout.replace(directory, content)
            self._written = directories.fingerprint(directory, self._name)

    @property
    def is_as_written(self) -> bool:
        """Returns whether the file is unchanged since the last successful write.

        Raises:
            FileProblem: The file cannot be checked.
        """
        with self._directory() as directory:
            return self._written is not None and directories.fingerprint(directory, self._name) == self._written

    def remove(self) -> None:
        """Removes the file.

        Raises:
            FileProblem: It cannot be removed.
        """
        with self._directory() as directory:
            self._written = None
            self._layout.remove(directory)

    def release(self) -> None:
        """Releases the file's lock."""
        self._lock.release()

    @contextmanager
    def _directory(self) -> Iterator[int]:
        try:
            with directories.open_descriptor(self._parent) as directory:
                yield directory
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0)
            text = f"{self._parent / self._name}: {error.strerror or type(error).__name__}"
            cause = errno.errorcode.get(error.errno or 0, "OTHER")
            raise FileProblem(f"{text}: {advice}" if advice else text, cause) from None


__all__ = ["FileProblem", "HeldByAnother", "TokenFile"]
