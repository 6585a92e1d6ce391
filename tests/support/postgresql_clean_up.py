"""Ends the PostgreSQL servers of a test run: `python -m tests.support.postgresql_clean_up DIRECTORY`."""

import ctypes
import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_IPC_RMID = 0

#: The index of the line of postmaster.pid with the key and the id of the segment.
_SEGMENT_LINE = 6


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
    lock_file = data / "postmaster.pid"
    if lock_file.exists():
        if (segment := shared_memory(data)) is not None:
            ctypes.CDLL(None).shmctl(segment, _IPC_RMID, None)
        lock_file.unlink()


def shared_memory(data: Path) -> int | None:
    """Returns the id of the System V segment of a cluster's server; None before it has one.

    It would remain until the machine restarts, and the number of all segments is limited (shmmni).

    Source: PostgreSQL's miscadmin.h, LOCK_FILE_LINE_SHMEM_KEY.
    """
    lines = (data / "postmaster.pid").read_text().splitlines()
    return int(lines[_SEGMENT_LINE].split()[1]) if len(lines) > _SEGMENT_LINE else None


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
