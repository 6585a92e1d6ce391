"""A thread that calls a function at regular intervals."""

import threading
from collections.abc import Callable


class Repeating:
    """Calls a function at every interval, in its own thread.

    Args:
        act: The function.
        interval: Seconds from the end of one call to the next.
        name: The name of the thread.
    """

    def __init__(self, act: Callable[[], object], interval: float, name: str) -> None:
        self._act = act
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_stopped(self) -> bool:
        """Whether it has been stopped."""
        return self._stopped.is_set()

    def start(self) -> None:
        """Starts the thread; the first call is after an interval."""
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread, if it was started, after its current call."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            self._act()
