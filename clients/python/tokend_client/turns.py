"""How many refreshes a client has under way at a time."""

import threading
from collections import deque
from collections.abc import Callable

#: What `clients/README.md` says.
REFRESHES_AT_A_TIME = 32

_Start = Callable[[], object]


class Turns:
    """Starts at most so many things at a time, in the order in which they came.

    Whoever starts something calls `leave` when it is over, from any thread. No lock is held while anything is started.

    Args:
        count: How many.
    """

    def __init__(self, count: int = REFRESHES_AT_A_TIME) -> None:
        self._free = count
        self._waiting: deque[_Start] = deque()
        self._lock = threading.Lock()
        self._thread = threading.local()

    def enter(self, start: _Start) -> None:
        """Starts it now, or when its turn comes, on the thread that leaves then."""
        with self._lock:
            if not self._free:
                self._waiting.append(start)
                return
            self._free -= 1
        start()

    def leave(self) -> None:
        """Gives the turn to the one that has waited longest."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            start = self._waiting.popleft()
        self._hand_on(start)

    def _hand_on(self, start: _Start) -> None:
        # What ends as soon as it is started leaves from within: its follower is started after it, not inside it.
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
