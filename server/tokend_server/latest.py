"""The values that were used last, by their keys: as many as may be kept."""

import threading
from typing import Generic, TypeVar

from cachetools import LRUCache

_Value = TypeVar("_Value")


class Latest(Generic[_Value]):
    """Values by their keys; the least recently used makes room. Methods may be called from many threads.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int) -> None:
        self._values: LRUCache[bytes, _Value] = LRUCache(most)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> _Value | None:
        """The value of a key, which is used by that."""
        with self._lock:
            value: _Value | None = self._values.get(key)
        return value

    def put(self, key: bytes, value: _Value) -> None:
        """Keeps a value, in the place of another one with its key."""
        with self._lock:
            if self._values.maxsize:
                self._values[key] = value
