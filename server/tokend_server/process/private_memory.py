"""Protects the process's memory, which contains private keys, from other processes."""

import ctypes
import os
import resource
import sys

#: `PR_SET_DUMPABLE` of prctl(2).
_PR_SET_DUMPABLE = 4


def keep_memory_private() -> None:
    """Disables core dumps of this process, and access to its memory by other processes of its user.

    On Linux, only root (CAP_SYS_PTRACE) can then use `ptrace`, which debuggers and py-spy need, and `/proc/PID/mem`,
    `environ`, `maps` and `fd`. A program that handles core dumps gets none either, which the limit alone does not
    prevent (core(5)). Forked processes inherit this; executed programs do not.

    Raises:
        OSError: The system refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
