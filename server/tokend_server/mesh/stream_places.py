"""Limits the number of streams fairly between parties."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tokend_server.errors import TooManyRequests

#: Seconds after which a refused stream may be retried.
_RETRY_AFTER = 5.0


class StreamPlaces:
    """Places for streams.

    When all places are taken, further streams are refused only to parties that use their share. Each other party may
    get one more.

    Args:
        max_places: The number of places.
        max_per_party: The maximum number of places of a party.
        on_refusal: Called for each refusal.
    """

    def __init__(self, max_places: int, max_per_party: int, on_refusal: Callable[[], object]) -> None:
        self._max_places = max_places
        self._max_per_party = max_per_party
        self._on_refusal = on_refusal
        self._of: Counter[str] = Counter()
        self.in_use = 0

    @contextmanager
    def holding(self, party: str) -> Iterator[None]:
        """Returns a context manager that holds a place.

        Raises:
            TooManyRequests: There is no place for the party.
        """
        share = max(1, self._max_places // max(1, len(self._of)))
        is_full = self.in_use >= self._max_places
        if self._of[party] >= (min(share, self._max_per_party) if is_full else self._max_per_party):
            self._on_refusal()
            raise TooManyRequests("Too many streams.", retry_after=_RETRY_AFTER)
        self._of[party] += 1
        self.in_use += 1
        try:
            yield
        finally:
            self.in_use -= 1
            self._of[party] -= 1
            if not self._of[party]:
                del self._of[party]
