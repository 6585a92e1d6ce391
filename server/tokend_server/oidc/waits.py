"""How many threads wait for issuers.

An issuer, or the name server that knows it, may take a connection and say nothing. Whoever waits for it is a thread
that answers no other call meanwhile, so only some of them wait.
"""

import threading
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

#: Fetches under way at once. Each is a thread, which a look-up of a name may hold for as long as the system likes.
MOST_FETCHES = 16


class Waits:
    """Room for those who wait for issuers.

    Args:
        threads: How many threads work on calls: a quarter of them may wait for one issuer, half of them for all.
        most_fetches: How many fetches there may be at once.
    """

    def __init__(self, threads: int, most_fetches: int = MOST_FETCHES) -> None:
        self._most_for_one = max(1, threads // 4)
        self._most = max(1, threads // 2)
        self._waiting: Counter[Hashable] = Counter()
        self._lock = threading.Lock()
        self._fetches = threading.BoundedSemaphore(most_fetches)

    @contextmanager
    def place(self, issuer: Hashable) -> Iterator[bool]:
        """A place to wait for an issuer in, and whether there is one."""
        with self._lock:
            free = self._waiting[issuer] < self._most_for_one and self._waiting.total() < self._most
            self._waiting[issuer] += free
        try:
            yield free
        finally:
            if free:
                with self._lock:
                    self._waiting[issuer] -= 1
                    if not self._waiting[issuer]:
                        del self._waiting[issuer]

    def begin_fetch(self) -> bool:
        """Whether one more fetch may begin; `end_fetch` has to be called at its end."""
        return self._fetches.acquire(blocking=False)

    def end_fetch(self) -> None:
        """Makes room for another fetch."""
        self._fetches.release()
