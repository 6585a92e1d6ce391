"""Signals that end the process, also where it is the first one of a container."""

import os
import signal
from types import FrameType


def end_by(number: int) -> None:
    """Has a signal end the process at once, as it does by default.

    The first process of a container gets no signal that it has no handler for (pid_namespaces(7)): it would go on, and
    be killed when the time of its stop is over.
    """
    signal.signal(number, _end if os.getpid() == 1 else signal.SIG_DFL)


def _end(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)
