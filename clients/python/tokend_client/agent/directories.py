"""File operations in an open directory. They apply to that directory even if its path changes meanwhile."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tokend_client.agent.owners import UNCHANGED

_MAX_READ = 1 << 20


@dataclass(frozen=True, slots=True)
class Access:
    """The access to a file: mode, and the numbers of owner and group, or `UNCHANGED`."""

    mode: int
    owner: int = UNCHANGED
    group: int = UNCHANGED


@contextmanager
def open_descriptor(path: Path, *, within: int | None = None) -> Iterator[int]:
    """A directory's descriptor."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def create(directory: int, name: str, content: bytes, access: Access) -> None:
    """Creates a file with its content, owner and mode, and syncs it to disk. On failure there is no file.

    Raises:
        OSError: The file cannot be created, for example on a full disk.
    """
    remove(directory, name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        try:
            # The owner first: its change may clear bits of the mode.
            if (access.owner, access.group) != (UNCHANGED, UNCHANGED):
                os.fchown(descriptor, access.owner, access.group)
            os.fchmod(descriptor, access.mode)
            _write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(name, dir_fd=directory)
        raise


def reject_device(directory: int, name: str) -> None:
    """Checks that a name is not a device or a standard stream, such as /dev/null or /dev/stdout.

    Raises:
        OSError: It is one of them.
    """
    try:
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    is_of_process = stat.S_ISLNK(mode) and os.readlink(name, dir_fd=directory).startswith("/proc/")
    if is_of_process or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise OSError(errno.EEXIST, "is a device or a standard stream, which must not be replaced")


def rename(directory: int, name: str, new_name: str) -> None:
    """Replaces a file or a link atomically and durably."""
    os.rename(name, new_name, src_dir_fd=directory, dst_dir_fd=directory)
    sync(directory)


def sync(directory: int) -> None:
    """Syncs the names in a directory to disk, if the file system supports it."""
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def remove(directory: int, name: str) -> bool:
    """Removes a file or a link, and returns whether there was one."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return False
    return True


def read(directory: int, name: str) -> bytes | None:
    """Returns the content of a regular file; None if there is none."""
    try:
        # Opening a pipe would block until there is a writer.
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_MAX_READ) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def fingerprint(directory: int, name: str) -> tuple[int, ...] | None:
    """Returns a value that changes when others change or replace a file; None if there is none."""
    try:
        status = os.stat(name, dir_fd=directory)
    except FileNotFoundError:
        return None
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_mode,
        status.st_uid,
        status.st_gid,
    )


def _write(descriptor: int, content: bytes) -> None:
    written = 0
    while written < len(content):
        written += os.write(descriptor, content[written:])
