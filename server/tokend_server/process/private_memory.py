"""Keeps what is in the process's memory, private keys among it, to the process."""

import ctypes
import os
import resource
import sys

#: `PR_SET_DUMPABLE` of prctl(2).
_SET_DUMPABLE = 4


def keep_memory_private() -> None:
    """Has the system write no core of this process, and show its memory to no other process of its user.

    On Linux neither `ptrace`, on which debuggers and py-spy are built, nor `/proc/PID/mem`, `environ`, `maps` or `fd`
    is then for others than root (CAP_SYS_PTRACE). A program that handles cores gets none either, which the limit alone
    does not prevent (core(5)). Processes that are forked have the same; what is executed begins as any other program.

    Raises:
        OSError: The system refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
