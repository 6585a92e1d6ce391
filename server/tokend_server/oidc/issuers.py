"""The keys of all issuers."""

import threading
from math import inf

from cachetools import LRUCache

from tokend_server.clock import Clock
from tokend_server.oidc.documents import KeySource
from tokend_server.oidc.keys import MAX_AGE, ProviderKeys
from tokend_server.oidc.waits import Waits

#: The maximum number of sources whose keys are shared: pools that callers create add sources to the configured ones.
MAX_SHARED = 1000


class Issuers:
    """Makes the keys of issuers; the keys of a source are shared, and fetched once for all users.

    It is thread-safe. If there are more than 1000 sources, the least recently used one is forgotten.

    Args:
        clock: Measures ages and intervals.
        threads: The number of threads that work on calls.
    """

    def __init__(self, clock: Clock, threads: int) -> None:
        self._clock = clock
        self._waits = Waits(threads)
        self._made: LRUCache[tuple[KeySource, float, float], ProviderKeys] = LRUCache(MAX_SHARED)
        self._lock = threading.Lock()

    def keys(self, owner: str, source: KeySource, *, max_age: float = MAX_AGE, too_old: float = inf) -> ProviderKeys:
        """Returns the keys of a source; the arguments are those of `ProviderKeys`."""
        with self._lock:
            made: ProviderKeys | None = self._made.get((source, max_age, too_old))
            if made is None:
                made = ProviderKeys(owner, source, self._clock, max_age=max_age, too_old=too_old, waits=self._waits)
                self._made[source, max_age, too_old] = made
        return made
