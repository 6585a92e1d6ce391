import signal

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """The signal that asks the process to end: SIGTERM, or SIGINT from a keyboard.

    From its construction on, which must come before the first thread, the signals are kept for `wait`.
    """

    def __init__(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def wait(self) -> int:
        """Waits for the first such signal, and returns its number. A second one ends the process at once."""
        number = signal.sigwait(_SIGNALS)
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        return number
