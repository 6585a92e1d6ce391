import threading
from collections.abc import Callable, Sequence
from itertools import islice

from tokend_server.clock import Clock
from tokend_server.errors import EngineCredentialsRejected, EngineMisconfigured, LastingError

#: How long trouble counts. No caller may call a service that is not ready, so only time can tell it to try again.
TROUBLE_SECONDS = 15.0

#: Pools that are named at once; the others are counted.
MOST_NAMED = 10


class TroubleWatch:
    """What keeps the pools of a region from Cognito until an operator acts, as their latest calls say.

    Args:
        clock: The time.
        pools: How many pools there are.
        set_rejected: Called with a pool when AWS begins (1) or ceases (-1) to reject the service's own credentials.
    """

    def __init__(self, clock: Clock, pools: int, set_rejected: Callable[[str, int], None]) -> None:
        self._clock = clock
        self._pools = pools
        self._set_rejected = set_rejected
        self._lock = threading.Lock()
        self._troubles: dict[str, tuple[float, LastingError]] = {}
        self._clear_until = clock.monotonic()

    def met(self, identity_pool_id: str, trouble: LastingError) -> None:
        """A call failed for a reason that lasts.

        An answer that is not Cognito's says nothing of the endpoint while other calls get Cognito's own: something on
        the way may only dislike the request.
        """
        now = self._clock.monotonic()
        if isinstance(trouble, EngineMisconfigured) and now < self._clear_until:
            return
        with self._lock:
            before = self._troubles.get(identity_pool_id)
            self._troubles[identity_pool_id] = now, trouble
            self._tell(identity_pool_id, _is_rejection(trouble) - (before is not None and _is_rejection(before[1])))

    def passed(self, identity_pool_id: str) -> None:
        """A call met nothing of that kind."""
        self._clear_until = self._clock.monotonic() + TROUBLE_SECONDS
        if identity_pool_id in self._troubles:
            with self._lock:
                before = self._troubles.pop(identity_pool_id, None)
                self._tell(identity_pool_id, -(before is not None and _is_rejection(before[1])))

    def check(self) -> Sequence[str]:
        """Tells what the latest calls said.

        Returns:
            A line for each pool of some whose call failed a short while ago.

        Raises:
            LastingError: Those of all pools did.
        """
        since = self._clock.monotonic() - TROUBLE_SECONDS
        with self._lock:
            recent = {pool: error for pool, (time, error) in self._troubles.items() if time > since}
        if len(recent) == self._pools:
            raise next(reversed(recent.values())).with_traceback(None)  # else it grows with each check
        lines = [f"{pool}: {error.text} {error.advice}".rstrip() for pool, error in islice(recent.items(), MOST_NAMED)]
        return lines if len(recent) <= MOST_NAMED else [*lines, f"and {len(recent) - MOST_NAMED} more pools"]

    def _tell(self, identity_pool_id: str, change: int) -> None:
        if change:
            self._set_rejected(identity_pool_id, change)


def _is_rejection(trouble: LastingError) -> bool:
    return isinstance(trouble, EngineCredentialsRejected)
