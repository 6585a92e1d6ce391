"""A cache of the most recently used values, by key."""

import threading
from typing import Generic, TypeVar

from cachetools import LRUCache

_Value = TypeVar("_Value")


class LruCache(Generic[_Value]):
    """A cache that evicts the least recently used value. It is thread-safe.

    Args:
        max_size: The maximum number of values.
    """

    def __init__(self, max_size: int) -> None:
        self._values: LRUCache[bytes, _Value] = LRUCache(max_size)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> _Value | None:
        """Returns the value of a key, and marks it as used."""
        with self._lock:
            value: _Value | None = self._values.get(key)
        return value

    def put(self, key: bytes, value: _Value) -> None:
        """Stores a value, replacing another one with its key."""
        with self._lock:
            if self._values.maxsize:
                self._values[key] = value
