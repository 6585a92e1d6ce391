"""Caches of the most recently used values, by key."""

import threading
from collections.abc import Callable
from functools import lru_cache
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


def one_per_key(create: Callable[[str], _Value], max_size: int) -> Callable[[str], _Value]:
    """Returns a function that returns the object of a key, and creates it at the first use of the key.

    Concurrent first uses return the same object. With `functools.lru_cache` alone each would get another one, and what
    all but one of them count would be lost.

    Args:
        create: Creates the object of a key.
        max_size: The maximum number of objects; the least recently used is forgotten.
    """
    cached = lru_cache(max_size)(create)
    lock = threading.Lock()

    def get(key: str) -> _Value:
        with lock:
            return cached(key)

    return get
