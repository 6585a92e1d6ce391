import signal
from collections.abc import Callable

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """The signal that asks the process to end: SIGTERM, or SIGINT from a keyboard.

    From its construction on, which must come before the first thread, the signals are kept for `wait`.

    Args:
        hangup: Whether SIGHUP is kept too; else it ends the process as ever.
    """

    def __init__(self, *, hangup: bool = False) -> None:
        self._signals = (*_SIGNALS, signal.SIGHUP) if hangup else _SIGNALS
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)

    def wait(self, on_hangup: Callable[[], None] = lambda: None) -> int:
        """Waits for the first such signal, and returns its number. A second one ends the process at once.

        Args:
            on_hangup: What SIGHUP asks for, each time that it comes.
        """
        while (number := signal.sigwait(self._signals)) == signal.SIGHUP:
            on_hangup()
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        return number
