"""The file of one token: written whole, by one process, and watched for what others do to it."""

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
    """Raised when a file cannot be kept; the text says why, and what helps.

    Attributes:
        cause: The name of the errno, for metrics.
    """

    def __init__(self, text: str, cause: str) -> None:
        super().__init__(text)
        self.cause = cause


_ADVICE: Mapping[int, str] = MappingProxyType(
    {
        errno.EACCES: "the agent's user may not do that in this directory",
        errno.EBUSY: "the file itself is a mount, which none can take the place of: mount its directory instead",
        errno.EDQUOT: "make room; until then the file has the token before",
        errno.EFBIG: "the limit of file sizes (RLIMIT_FSIZE) is lower than a token's",
        errno.EISDIR: "a directory is in the way",
        errno.ENOENT: "make the directory: its owner and mode are yours to choose",
        errno.ENOSPC: "make room; until then the file has the token before",
        errno.ENOTDIR: "what should be the directory is none",
        errno.EPERM: "another owner needs the capability CAP_CHOWN, another group membership of it",
        errno.EROFS: "the mount is read-only",
    }
)


class TokenFile:
    """The file of one token, in a directory that is there already.

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
        """Makes sure that this process is the one that writes the file.

        Returns:
            Whether it was not before.

        Raises:
            HeldByAnother: Another process is.
            FileProblem: That cannot be made sure of.
        """
        with self._directory() as directory:
            is_new = self._lock.acquire(directory)
            if is_new:
                self._layout.clean(directory)
                self._written = None
        return is_new

    def read(self) -> bytes | None:
        """What the file holds; None where there is none.

        Raises:
            FileProblem: It cannot be read.
        """
        with self._directory() as directory:
            return directories.read(directory, self._name)

    def write(self, content: bytes) -> None:
        """Replaces what the file holds.

        Raises:
            FileProblem: It cannot; what it held is still there.
        """
        with self._directory() as directory:
            directories.refuse_device(directory, self._name)
            self._layout.replace(directory, content)
            self._written = directories.fingerprint(directory, self._name)

    @property
    def is_as_written(self) -> bool:
        """Whether the file is as the last write that succeeded has left it.

        Raises:
            FileProblem: That cannot be seen.
        """
        with self._directory() as directory:
            return self._written is not None and directories.fingerprint(directory, self._name) == self._written

    def remove(self) -> None:
        """Removes it.

        Raises:
            FileProblem: It cannot be removed.
        """
        with self._directory() as directory:
            self._written = None
            self._layout.remove(directory)

    def release(self) -> None:
        """Lets another process write it."""
        self._lock.release()

    @contextmanager
    def _directory(self) -> Iterator[int]:
        try:
            with directories.opened(self._parent) as directory:
                yield directory
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0)
            text = f"{self._parent / self._name}: {error.strerror or type(error).__name__}"
            cause = errno.errorcode.get(error.errno or 0, "OTHER")
            raise FileProblem(f"{text}: {advice}" if advice else text, cause) from None


__all__ = ["FileProblem", "HeldByAnother", "TokenFile"]
