"""The keys of all issuers."""

from math import inf

from tokend_server.clock import Clock
from tokend_server.oidc.documents import KeySource
from tokend_server.oidc.keys import MAX_AGE, ProviderKeys
from tokend_server.oidc.waits import Waits


class Issuers:
    """Makes the keys of issuers; those of one source are the same for all who ask, and fetched once for them.

    Args:
        clock: Measures ages and intervals.
        threads: How many threads work on calls.
    """

    def __init__(self, clock: Clock, threads: int) -> None:
        self._clock = clock
        self._waits = Waits(threads)
        self._made: dict[tuple[KeySource, float, float], ProviderKeys] = {}

    def keys(self, owner: str, source: KeySource, *, max_age: float = MAX_AGE, too_old: float = inf) -> ProviderKeys:
        """The keys of a source; the arguments are those of `ProviderKeys`."""
        made = self._made.get((source, max_age, too_old))
        if made is None:
            made = ProviderKeys(owner, source, self._clock, max_age=max_age, too_old=too_old, waits=self._waits)
            self._made[source, max_age, too_old] = made
        return made
