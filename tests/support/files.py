"""Files: their existence, permissions and size limits."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def until_exists(path: Path) -> None:
    """Waits until a file exists, if there is no event for its creation."""
    while not path.exists():
        time.sleep(0.01)


def mode(path: Path) -> int:
    """Returns the permissions of a file."""
    return path.stat().st_mode & 0o777


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Simulates a disk that is full when a file has this many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
