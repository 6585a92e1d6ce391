import threading
from collections.abc import Callable, Sequence
from itertools import islice

from tokend_server.clock import Clock
from tokend_server.errors import EngineCredentialsRejected

#: How long a rejection counts. Nobody may call a service that is not ready, so only time can tell it to try again.
REJECTION_SECONDS = 15.0

#: Pools that are named at once; the others are counted.
MOST_NAMED = 10


class CredentialWatch:
    """Whether AWS takes the service's own credentials for the pools of a region, as their latest calls say.

    Args:
        clock: The time.
        pools: How many pools there are.
        set_rejected: Is told of a pool when that changes: 1 for rejected, -1 for accepted.
    """

    def __init__(self, clock: Clock, pools: int, set_rejected: Callable[[str, int], None]) -> None:
        self._clock = clock
        self._pools = pools
        self._set_rejected = set_rejected
        self._lock = threading.Lock()
        self._rejections: dict[str, tuple[float, EngineCredentialsRejected]] = {}

    def rejected(self, identity_pool_id: str, error: EngineCredentialsRejected) -> None:
        """A call failed for want of credentials that are accepted."""
        with self._lock:
            is_news = identity_pool_id not in self._rejections
            self._rejections[identity_pool_id] = self._clock.monotonic(), error
            if is_news:
                self._set_rejected(identity_pool_id, 1)

    def accepted(self, identity_pool_id: str) -> None:
        """A call met nothing of that kind."""
        if identity_pool_id in self._rejections:
            with self._lock:
                if self._rejections.pop(identity_pool_id, None):
                    self._set_rejected(identity_pool_id, -1)

    def check(self) -> Sequence[str]:
        """Tells what the latest calls said.

        Returns:
            A line for each pool of some whose call was rejected a short while ago.

        Raises:
            EngineCredentialsRejected: Those of all pools were.
        """
        since = self._clock.monotonic() - REJECTION_SECONDS
        with self._lock:
            recent = {pool: error for pool, (time, error) in self._rejections.items() if time > since}
        if len(recent) == self._pools:
            raise next(reversed(recent.values())).with_traceback(None)  # else it grows with each check
        lines = [f"{pool}: {error.text} {error.advice}".rstrip() for pool, error in islice(recent.items(), MOST_NAMED)]
        return lines if len(recent) <= MOST_NAMED else [*lines, f"and {len(recent) - MOST_NAMED} more pools"]
