"""A thread that does one thing again and again."""

import threading
from collections.abc import Callable


class Repeating:
    """Calls a function every interval, in a thread of its own.

    Args:
        act: The function.
        interval: Seconds from the end of one call to the next.
        name: The name of the thread.
    """

    def __init__(self, act: Callable[[], object], interval: float, name: str) -> None:
        self._act = act
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep_acting, name=name, daemon=True)

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped."""
        return self._stopped.is_set()

    def start(self) -> None:
        """Begins; the first call is due after an interval."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, if it has begun, after the call that it is in."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep_acting(self) -> None:
        while not self._stopped.wait(self._interval):
            self._act()
