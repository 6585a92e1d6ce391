"""Signals that end the process, even if it is PID 1 of a container."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM)

#: Seconds between two checks whether there is still something to clean up.
_INTERVAL = 0.1


def end_process_on(number: int) -> None:
    """Makes a signal end the process at once, as it does by default.

    PID 1 of a container gets no signals for which it has no handler (pid_namespaces(7)): it would continue, and be
    killed after its grace period.
    """
    signal.signal(number, _end if os.getpid() == 1 else signal.SIG_DFL)


@contextmanager
def cleaning_up_on_signal(clean_up: Callable[[], object]) -> Iterator[None]:
    """Returns a context manager for a block in which SIGINT and SIGTERM first clean up, and then end the process.

    They do so at once. A Python signal handler would run only when the main thread returns to the interpreter, for
    example after a copy of gigabytes.
    """
    done = threading.Event()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    waiting = threading.Thread(target=_clean_up_at_signal, args=(clean_up, done), name="signals", daemon=True)
    try:
        waiting.start()
    except RuntimeError:  # no more threads can be started: signals end the process without cleaning up
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield
        return
    try:
        yield
    finally:
        done.set()
        waiting.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _clean_up_at_signal(clean_up: Callable[[], object], done: threading.Event) -> None:
    while not done.is_set():
        if received := signal.sigtimedwait(_ENDING, _INTERVAL):
            clean_up()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
            os.kill(os.getpid(), received.si_signo)
            os._exit(128 + received.si_signo)  # where the signal has a handler


def _end(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)
