"""Standard output and standard error that keep no thread waiting for whoever should read them."""

import os
import stat

OUTPUT, ERROR = 1, 2

_ALL = (0, OUTPUT, ERROR)


def occupy() -> None:
    """Puts /dev/null where a standard stream is closed.

    Else the next file to be opened would take its number, the database for one, and be written to as a log.
    """
    for descriptor in _ALL:
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is taken (open(2)), which is this one.
            os.open(os.devnull, os.O_RDWR)


def never_wait(descriptor: int) -> None:
    """Lets writes fail that a full pipe, socket or terminal would hold up; gRPC's own core writes there too.

    Files are left alone, since this has no effect on them.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        os.set_blocking(descriptor, False)
    elif stat.S_ISFIFO(mode) or os.isatty(descriptor):
        _reopen(descriptor, is_terminal=not stat.S_ISFIFO(mode))


def _reopen(descriptor: int, *, is_terminal: bool) -> None:
    # An opening of its own: the shell that shares a terminal must go on waiting.
    try:
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # no /proc, or a pipe that another user has made
        if not is_terminal:
            os.set_blocking(descriptor, False)
        return
    os.dup2(own, descriptor)
    os.close(own)
