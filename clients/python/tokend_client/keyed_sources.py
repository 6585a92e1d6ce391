import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Generic, TypeVar

from tokend_client import forks
from tokend_client.arguments import check_positive
from tokend_client.async_source import AsyncTokenSource
from tokend_client.errors import Closed, Forked
from tokend_client.model import TokenRequest
from tokend_client.source import TokenSource
from tokend_client.telemetry import Telemetry

_Source = TypeVar("_Source", bound=TokenSource | AsyncTokenSource)


class KeyedSources(Generic[_Source]):
    """One source for each different request. Those without a token are evicted first, then the least recently used.

    An evicted source continues to work for its owners, and is added again when its refresh returns a token.

    Args:
        make: Creates a source.
        max_users: The maximum number of sources.
        telemetry: Counts the sources.

    Raises:
        ValueError: `max_users` is not positive.
    """

    def __init__(self, make: Callable[[TokenRequest], _Source], max_users: int, telemetry: Telemetry) -> None:
        check_positive(max_users, "max_users")
        self._make = make
        self._max_users = max_users
        self._telemetry = telemetry
        self._sources: OrderedDict[bytes, _Source] = OrderedDict()
        # The sources without a token, in the order of their eviction.
        self._without_token: OrderedDict[bytes, None] = OrderedDict()
        # Includes evicted sources that are still in use: closing ends them, too.
        self._live: weakref.WeakSet[_Source] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed: Closed | None = None
        forks.register(self)

    def __len__(self) -> int:
        return len(self._sources)

    def get(self, request: TokenRequest) -> _Source:
        """Returns the source for a request.

        Raises:
            Closed: The sources were closed.
        """
        key = request.key
        with self._lock:
            if self._closed:
                raise type(self._closed)
            source = self._sources.get(key)
            if source is None:
                return self._add(key, self._make(request))
            self._sources.move_to_end(key)
            if key in self._without_token:
                self._without_token.move_to_end(key)
        return source

    def sources_with(self, token: str) -> Iterable[_Source]:
        """Returns the sources that have a token."""
        with self._lock:
            sources = list(self._sources.values())
        return [source for source in sources if (held := source.snapshot) is not None and held.value == token]

    def close(self) -> Iterable[_Source]:
        """Stops returning sources, and returns those that must be closed."""
        with self._lock:
            self._closed = self._closed or Closed()
            self._telemetry.users(-len(self._sources))
            self._sources.clear()
            self._without_token.clear()
            return list(self._live)

    def after_fork(self) -> None:
        """Stops returning sources: the existing ones belong to the parent process."""
        self._lock = threading.Lock()
        self._closed = Forked()

    def _add(self, key: bytes, source: _Source) -> _Source:
        source.watch(partial(self._update, key, weakref.ref(source)))
        self._live.add(source)
        self._put(key, source)
        self._without_token[key] = None
        return source

    def _put(self, key: bytes, source: _Source) -> None:
        if len(self._sources) >= self._max_users:
            self._evict()
        self._sources[key] = source
        self._telemetry.users(1)

    def _evict(self) -> None:
        self._telemetry.evicted()
        if self._without_token:
            key, _ = self._without_token.popitem(last=False)
            del self._sources[key]
        else:
            self._sources.popitem(last=False)

    def _update(self, key: bytes, source: "weakref.ref[_Source]", has_token: bool) -> None:  # noqa: FBT001 - the only argument
        with self._lock:
            owner, kept = source(), self._sources.get(key)
            if owner is None or self._closed:
                return
            if kept is None and has_token:
                self._put(key, owner)
            elif kept is owner and has_token:
                self._without_token.pop(key, None)
            elif kept is owner:
                self._without_token[key] = None
