"""Files: whether they are there, for whom, and how large they may become."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def until_exists(path: Path) -> None:
    """Waits for a file that nothing but its being there tells of."""
    while not path.exists():
        time.sleep(0.01)


def mode(path: Path) -> int:
    """The permissions of a file."""
    return path.stat().st_mode & 0o777


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk that is full where the file has so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
