"""Makes writes to standard output and standard error non-blocking."""

import os
import stat

OUTPUT, ERROR = 1, 2


def set_non_blocking(descriptor: int) -> None:
    """Makes writes fail that a full pipe, socket or terminal would block; gRPC's core writes there too.

    Files are not changed, because this has no effect on them.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        os.set_blocking(descriptor, False)
    elif stat.S_ISFIFO(mode) or os.isatty(descriptor):
        _reopen(descriptor, is_terminal=not stat.S_ISFIFO(mode))


def _reopen(descriptor: int, *, is_terminal: bool) -> None:
    # A separate open file description: the shell that shares a terminal must stay blocking.
    try:
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # no /proc, or a pipe of another user
        if not is_terminal:
            os.set_blocking(descriptor, False)
        return
    os.dup2(own, descriptor)
    os.close(own)
