import threading
from collections.abc import Callable
from functools import wraps
from typing import Any


class CallsInFlight:
    """Counts the calls that wait or are worked on, on all listeners.

    Args:
        most: Above how many a call is refused.
        on_refusal: Is told of each refusal.
    """

    def __init__(self, most: int, on_refusal: Callable[[], None]) -> None:
        self._most = most
        self._on_refusal = on_refusal
        self._count = 0
        self._lock = threading.Lock()

    def begin(self) -> bool:
        """Counts a call, unless there are too many."""
        with self._lock:
            if self._count < self._most:
                self._count += 1
                return True
        self._on_refusal()
        return False

    def ending(self, behavior: Callable[..., Any]) -> Callable[..., Any]:
        """A behavior at whose end a call has ended."""

        @wraps(behavior)
        def ended(*arguments: Any) -> Any:  # noqa: ANN401 - as grpc calls it
            try:
                return behavior(*arguments)
            finally:
                with self._lock:
                    self._count -= 1

        return ended
