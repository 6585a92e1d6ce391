import threading
from collections.abc import Callable, Sequence
from itertools import islice

from tokend_server.clock import Clock
from tokend_server.errors import EngineCredentialsRejected, EngineMisconfigured, LastingError

#: Seconds for which an error counts. A service that is not ready gets no calls, so it must become ready by itself.
LASTING_ERROR_SECONDS = 15.0

#: The maximum number of pools that are named; the others are counted.
MAX_NAMED = 10


class LastingErrors:
    """Remembers errors of a Region's pools that last until an operator acts, from their latest calls.

    Args:
        clock: The time.
        pools: The number of pools.
        set_rejected: Called with a pool when AWS starts (1) or stops (-1) rejecting the service's own credentials.
    """

    def __init__(self, clock: Clock, pools: int, set_rejected: Callable[[str, int], None]) -> None:
        self._clock = clock
        self._pools = pools
        self._set_rejected = set_rejected
        self._lock = threading.Lock()
        self._errors: dict[str, tuple[float, LastingError]] = {}
        self._clear_until = clock.monotonic()

    def record_error(self, identity_pool_id: str, error: LastingError) -> None:
        """Records that a call failed with a lasting error.

        A response that is not from Cognito is ignored while other calls get responses from Cognito: a proxy may have
        refused only this request.
        """
        now = self._clock.monotonic()
        if isinstance(error, EngineMisconfigured) and now < self._clear_until:
            return
        with self._lock:
            before = self._errors.get(identity_pool_id)
            self._errors[identity_pool_id] = now, error
            self._notify(identity_pool_id, _is_rejection(error) - (before is not None and _is_rejection(before[1])))

    def record_success(self, identity_pool_id: str) -> None:
        """Records that a call had no lasting error."""
        self._clear_until = self._clock.monotonic() + LASTING_ERROR_SECONDS
        if identity_pool_id in self._errors:
            with self._lock:
                before = self._errors.pop(identity_pool_id, None)
                self._notify(identity_pool_id, -(before is not None and _is_rejection(before[1])))

    def check(self) -> Sequence[str]:
        """Returns the lasting errors of the latest calls.

        Returns:
            A line for each pool whose latest call has recently failed, if not all have.

        Raises:
            LastingError: The latest calls of all pools have failed.
        """
        since = self._clock.monotonic() - LASTING_ERROR_SECONDS
        with self._lock:
            recent = {pool: error for pool, (time, error) in self._errors.items() if time > since}
        if len(recent) == self._pools:
            raise next(reversed(recent.values())).with_traceback(None)  # otherwise the traceback grows with each check
        lines = [f"{pool}: {error.text} {error.advice}".rstrip() for pool, error in islice(recent.items(), MAX_NAMED)]
        return lines if len(recent) <= MAX_NAMED else [*lines, f"and {len(recent) - MAX_NAMED} more pools"]

    def _notify(self, identity_pool_id: str, change: int) -> None:
        if change:
            self._set_rejected(identity_pool_id, change)


def _is_rejection(error: LastingError) -> bool:
    return isinstance(error, EngineCredentialsRejected)
