import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import NoReturn

from tokend_server.process.signals import end_process_on

_log = logging.getLogger(__name__)

#: Seconds between two checks for a signal while the process is not serving yet.
_SIGNAL_INTERVAL = 0.1

#: Seconds after which a process ends even if it cannot log the reason.
_LOG_TIMEOUT = 2

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """The signal that asks the process to end: SIGTERM, or SIGINT from a keyboard.

    It must be created before the first thread; from then on signals are kept for `wait`.

    Args:
        hangup: Whether SIGHUP is kept too; otherwise it ends the process.
    """

    def __init__(self, *, hangup: bool = False) -> None:
        self._signals = (*_SIGNALS, signal.SIGHUP) if hangup else _SIGNALS
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)

    def is_pending(self) -> bool:
        """Returns whether a signal has arrived that no code waits for yet."""
        return not signal.sigpending().isdisjoint(_SIGNALS)

    def wait(self, on_hangup: Callable[[], None] = lambda: None) -> int:
        """Waits for the first such signal, and returns its number. A second one ends the process at once.

        Args:
            on_hangup: Called at each SIGHUP.
        """
        while (number := signal.sigwait(self._signals)) == signal.SIGHUP:
            on_hangup()
        for each in _SIGNALS:
            end_process_on(each)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        return number


def exit_immediately(code: int) -> NoReturn:
    """Ends the process without the interpreter's finalization, which waits for gRPC's threads without a timeout."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.flush()
    os._exit(code)


class ExitGuard:
    """Ensures that the process ends: while it starts, when it stops, and when it has lost a thread.

    Args:
        stop: Keeps the signals.

    Raises:
        RuntimeError: The operating system refuses to start a thread.
    """

    def __init__(self, stop: StopSignal) -> None:
        self._stop = stop
        self._started = threading.Event()
        self._seconds: SimpleQueue[float] = SimpleQueue()
        threading.Thread(target=self._watch, name="guard", daemon=True).start()

    def started(self) -> None:
        """Passes signals to `StopSignal.wait` from now on; before, they end the process at once."""
        self._started.set()

    def end_within(self, seconds: float) -> None:
        """Ends the process after some seconds if it has not ended by itself."""
        self._seconds.put(seconds)

    @staticmethod
    def thread_ended() -> NoReturn:
        """Ends the process, which without that thread might seem alive but not work."""
        _abort("the process ends, because it has lost a thread")

    def _watch(self) -> None:
        while not self._started.wait(_SIGNAL_INTERVAL):
            if self._stop.is_pending():
                _abort("stopped before it served")
        time.sleep(self._seconds.get())
        _abort("did not stop in time, and is ended")


def _abort(why: str) -> NoReturn:
    signal.alarm(_LOG_TIMEOUT)  # ends the process even if the log's reader is blocked
    _log.critical(why)
    exit_immediately(1)
