"""The values that were used last, by their keys: as many as may be kept."""

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Latest(Generic[_Value]):
    """Values by their keys; the least recently used makes room. Methods may be called from many threads.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # The least recently used first.
        self._values: OrderedDict[bytes, _Value] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> _Value | None:
        """The value of a key, which is used by that."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
        return value

    def put(self, key: bytes, value: _Value) -> None:
        """Keeps a value, in the place of another one with its key."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._most:
                self._values.popitem(last=False)
