"""Waiting for conditions that nothing signals, for example those of other processes."""

import time
from collections.abc import Callable

from tests.support.grpc_service import TIMEOUT

_PAUSE = 0.01


def wait_until(condition: Callable[[], object]) -> None:
    """Waits until a condition holds; fails after the timeout of calls."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "the condition still does not hold"
        time.sleep(_PAUSE)
