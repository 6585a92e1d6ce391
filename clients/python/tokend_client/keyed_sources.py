import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar
from weakref import WeakSet

from tokend_client.errors import Closed
from tokend_client.model import TokenRequest

_Source = TypeVar("_Source")


class KeyedSources(Generic[_Source]):
    """One source for each different request; the least recently used makes room.

    A source that made room goes on working for those who have it.

    Args:
        make: Makes a source.
        max_sources: How many are kept.
    """

    def __init__(self, make: Callable[[TokenRequest], _Source], max_sources: int) -> None:
        self._make = make
        self._max_sources = max_sources
        self._sources: OrderedDict[bytes, _Source] = OrderedDict()
        # Also those that made room and are still in use: closing ends them, too.
        self._alive: WeakSet[_Source] = WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    def __len__(self) -> int:
        return len(self._sources)

    def get(self, request: TokenRequest) -> _Source:
        """The source for a request.

        Raises:
            Closed: They were closed.
        """
        with self._lock:
            if self._closed:
                raise Closed
            source = self._sources.get(request.key)
            if source is None:
                source = self._add(request.key, self._make(request))
            self._sources.move_to_end(request.key)
        return source

    def close(self) -> Iterable[_Source]:
        """Gives out no more sources, and returns those that have to be closed."""
        with self._lock:
            self._closed = True
            self._sources.clear()
            return list(self._alive)

    def _add(self, key: bytes, source: _Source) -> _Source:
        self._sources[key] = source
        self._alive.add(source)
        if len(self._sources) > self._max_sources:
            self._sources.popitem(last=False)
        return source
