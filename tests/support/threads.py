"""Threads that a test must end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_threads_left() -> Iterator[None]:
    """Fails if a thread that was started in the block outlives it. Threads of other tests may end meanwhile."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) - before == set()
