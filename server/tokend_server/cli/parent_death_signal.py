"""Executes a command that gets SIGTERM when its parent ends: `parent_death_signal.py PARENT COMMAND…`.

It is run as a file by a separate interpreter: a process with threads must not run Python between fork and exec, and
posix_spawn(3) does not support this.
"""

import ctypes
import os
import signal
import sys
from typing import NoReturn

#: PR_SET_PDEATHSIG of prctl(2), which is kept by exec except for programs that gain privileges.
_PR_SET_PDEATHSIG = 1

#: What Python ignores for itself, and programs expect not to be ignored.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)

#: The exit codes of env(1).
_CANNOT_RUN, _NOT_FOUND = 126, 127


def execute(parent: int, command: list[str]) -> NoReturn:
    """Executes the command.

    Args:
        parent: The process that runs this; if the parent is another process, it has already ended.
        command: The program, which is looked up in PATH, and its arguments.
    """
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the user's command
    except OSError as error:
        sys.stderr.write(f"Error: {command[0]}: {error.strerror}\n")
        sys.exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _CANNOT_RUN)


if __name__ == "__main__":
    execute(int(sys.argv[1]), sys.argv[2:])
