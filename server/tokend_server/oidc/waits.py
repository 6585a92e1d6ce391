"""Limits the number of threads that wait for issuers.

An issuer, or its name server, may accept a connection and not answer. A thread that waits for it answers no other call,
so only some threads may wait.
"""

import threading
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

#: The maximum number of concurrent fetches. Each has a thread, which name resolution may block without a time limit.
MAX_FETCHES = 16


class Waits:
    """Places for threads that wait for issuers.

    Args:
        threads: The number of threads that work on calls: a quarter may wait for one issuer, half for all issuers.
    """

    def __init__(self, threads: int) -> None:
        self._max_waiting_for_issuer = max(1, threads // 4)
        self._max_waiting = max(1, threads // 2)
        self._waiting: Counter[Hashable] = Counter()
        self._lock = threading.Lock()
        self._fetches = threading.BoundedSemaphore(MAX_FETCHES)

    @contextmanager
    def place(self, issuer: Hashable) -> Iterator[bool]:
        """Returns a context manager that holds a place to wait for an issuer; yields whether there was one."""
        with self._lock:
            free = self._waiting[issuer] < self._max_waiting_for_issuer and self._waiting.total() < self._max_waiting
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
        """Returns whether a fetch may start; if so, `end_fetch` must be called at its end."""
        return self._fetches.acquire(blocking=False)

    def end_fetch(self) -> None:
        """Records the end of a fetch."""
        self._fetches.release()
