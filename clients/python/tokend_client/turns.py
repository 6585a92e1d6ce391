"""Limits how many refreshes of a client run at a time."""

import threading
from collections import deque
from collections.abc import Callable

#: As in `clients/README.md`.
REFRESHES_AT_A_TIME = 32

_Start = Callable[[], object]


class Turns:
    """Starts a limited number of tasks at a time, in the order of their arrival.

    The caller calls `release` when its task has ended, from any thread. No lock is held while a task is started.

    Args:
        count: The number of tasks.
    """

    def __init__(self, count: int = REFRESHES_AT_A_TIME) -> None:
        self._free = count
        self._waiting: deque[_Start] = deque()
        self._lock = threading.Lock()
        self._thread = threading.local()

    def acquire(self, start: _Start) -> None:
        """Starts a task now, or in its turn on the thread that calls `release`."""
        with self._lock:
            if not self._free:
                self._waiting.append(start)
                return
            self._free -= 1
        start()

    def release(self) -> None:
        """Gives the turn to the task that has waited longest."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            start = self._waiting.popleft()
        self._start_in_order(start)

    def _start_in_order(self, start: _Start) -> None:
        # A task that ends at once calls `release` inside its start: the next task is started after it, not inside it.
        followers: deque[_Start] | None = getattr(self._thread, "followers", None)
        if followers is not None:
            followers.append(start)
            return
        self._thread.followers = followers = deque([start])
        try:
            while followers:
                followers.popleft()()
        finally:
            self._thread.followers = None
