"""Threads that a test must end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_threads_left() -> Iterator[None]:
    """Fails if a thread that began in the block outlives it; threads of other tests may end meanwhile."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) - before == set()
