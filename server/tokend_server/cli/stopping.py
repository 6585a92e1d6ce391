import signal
import threading
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """The signal that asks the process to end: SIGTERM, or SIGINT from a keyboard."""

    def __init__(self) -> None:
        self._came = threading.Event()
        self._number = 0
        for each in _SIGNALS:
            signal.signal(each, self._take)

    def wait(self) -> int:
        """Waits for the first such signal, and returns its number. A second one ends the process at once."""
        self._came.wait()
        return self._number

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self._number = number
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        self._came.set()
