"""The layout of a token in its directory: one file, or a projected volume of Kubernetes.

The methods get the descriptor of the directory. `replace` replaces the content atomically: a reader sees the old or the
new one. If it raises `OSError`, the file has the old content, or already the new one. `clean` removes partial files of
a killed process.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from tokend_client.agent import directories
from tokend_client.agent.directories import Access


class FileLayout:
    """One file, which is replaced with rename(2).

    Args:
        name: Its name.
        access: Its access.
    """

    def __init__(self, name: str, access: Access) -> None:
        self._name = name
        self._unfinished = f".{name}.unfinished"
        self._access = access

    def replace(self, directory: int, content: bytes) -> None:
        directories.create(directory, self._unfinished, content, self._access)
        try:
            directories.rename(directory, self._unfinished, self._name)
        except OSError:
            with suppress(OSError):
                self.clean(directory)
            raise

    def remove(self, directory: int) -> None:
        if directories.remove(directory, self._name):
            directories.sync(directory)

    def clean(self, directory: int) -> None:
        directories.remove(directory, self._unfinished)


_DATA = "..data"
_NEXT_DATA = "..data_tmp"
_VERSION = re.compile(r"\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\.\d+")


class ProjectedLayout:
    """Kubernetes' layout: `NAME -> ..data/NAME`, and `..data ->` a directory, which is replaced as a whole.

    Programs that watch projected volumes watch only `..data`. The previous directory stays until the next change, for
    readers that have already resolved it.

    Args:
        name: The name of the file.
        access: Its access.
        now: Seconds since the Unix epoch, for the names of directories.
    """

    def __init__(self, name: str, access: Access, now: Callable[[], float]) -> None:
        self._name = name
        self._unfinished = f".{name}.unfinished"
        self._access = access
        self._now = now

    def replace(self, directory: int, content: bytes) -> None:
        before = _target(directory)
        version = self._make(directory, content)
        try:
            directories.remove(directory, _NEXT_DATA)
            os.symlink(version, _NEXT_DATA, dir_fd=directory)
            directories.rename(directory, _NEXT_DATA, _DATA)
        except OSError:
            if _target(directory) != version:
                directories.remove(directory, _NEXT_DATA)
                _remove_version(directory, version)
            raise
        self._link(directory)
        _remove_versions(directory, keep={version, before})

    def remove(self, directory: int) -> None:
        for name in (self._name, _DATA, _NEXT_DATA):
            directories.remove(directory, name)
        _remove_versions(directory, keep=set())
        directories.sync(directory)

    def clean(self, directory: int) -> None:
        directories.remove(directory, self._unfinished)
        directories.remove(directory, _NEXT_DATA)
        _remove_versions(directory, keep={_target(directory)})

    def _make(self, directory: int, content: bytes) -> str:
        """Creates a directory with the content and a name that was never used before."""
        random = int.from_bytes(os.getrandom(6), "big")
        version = f"..{datetime.fromtimestamp(self._now(), UTC):%Y_%m_%d_%H_%M_%S}.{random}"
        os.mkdir(version, 0o700, dir_fd=directory)
        try:
            with directories.open_descriptor(Path(version), within=directory) as inside:
                # For the readers of the file, regardless of the umask.
                os.fchmod(inside, 0o755)
                directories.create(inside, self._name, content, self._access)
                directories.sync(inside)
        except OSError:
            _remove_version(directory, version)
            raise
        return version

    def _link(self, directory: int) -> None:
        wanted = f"{_DATA}/{self._name}"
        with suppress(OSError):
            if os.readlink(self._name, dir_fd=directory) == wanted:
                return
        directories.remove(directory, self._unfinished)
        os.symlink(wanted, self._unfinished, dir_fd=directory)
        directories.rename(directory, self._unfinished, self._name)


Layout: TypeAlias = FileLayout | ProjectedLayout


def _target(directory: int) -> str | None:
    try:
        return os.readlink(_DATA, dir_fd=directory)
    except OSError:
        return None


def _remove_versions(directory: int, keep: set[str | None]) -> None:
    for name in os.listdir(directory):
        if _VERSION.fullmatch(name) and name not in keep:
            _remove_version(directory, name)


def _remove_version(directory: int, version: str) -> None:
    with suppress(OSError), directories.open_descriptor(Path(version), within=directory) as inside:
        for name in os.listdir(inside):  # noqa: PTH208 - of a descriptor
            directories.remove(inside, name)
        os.rmdir(version, dir_fd=directory)
