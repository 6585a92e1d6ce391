"""Ids of calls and of events."""

import itertools
from collections.abc import Callable


class UniqueIds:
    """Generates ids from one random number and a counter, as UUIDs of version 8 (RFC 9562, section 5.8).

    They cost a tenth of random UUIDs, and those of one process sort by time.

    Args:
        random_bytes: Returns a number of random bytes, such as `os.urandom`.
    """

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        digits = random_bytes(8).hex()
        self._prefix = f"{digits[:8]}-{digits[8:12]}-8{digits[12:15]}-8{random_bytes(2).hex()[:3]}-"
        self._count = itertools.count(1)

    def __call__(self) -> str:
        """Returns the next id."""
        return f"{self._prefix}{next(self._count):012x}"
