"""Files that other processes make: whether they are there, and for whom."""

import time
from pathlib import Path


def until_exists(path: Path) -> None:
    """Waits for a file that nothing but its being there tells of."""
    while not path.exists():
        time.sleep(0.01)


def mode(path: Path) -> int:
    """The permissions of a file."""
    return path.stat().st_mode & 0o777
