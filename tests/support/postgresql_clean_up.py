"""Ends the PostgreSQL servers of a test run: `python -m tests.support.postgresql_clean_up DIRECTORY`."""

import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def processes(data: Path) -> Sequence[int]:
    """Returns the processes of a cluster's server, by their working directory."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and (process / "cwd").readlink() == data:
                found.append(int(process.name))
    return found


def kill(data: Path) -> None:
    """Kills the server of a cluster and all its processes, like a power failure."""
    while left := processes(data):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    (data / "postmaster.pid").unlink(missing_ok=True)


def main(root: Path) -> None:
    """Waits until no process uses the directory, ends its servers, and removes it."""
    with (root / "used").open("a") as used:
        fcntl.flock(used, fcntl.LOCK_EX)
    for data in root.iterdir():
        if (data / "PG_VERSION").exists():
            kill(data)
    shutil.rmtree(root)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
