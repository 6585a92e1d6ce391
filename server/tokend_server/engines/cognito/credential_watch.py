import threading
from collections.abc import Callable

from tokend_server.clock import Clock
from tokend_server.errors import EngineCredentialsRejected

#: How long a rejection counts. Nobody may call a service that is not ready, so only time can tell it to try again.
REJECTION_SECONDS = 15.0


class CredentialWatch:
    """Whether AWS takes the service's own credentials for a pool, as its latest calls say.

    Args:
        clock: The time.
        set_rejected: Is told when that changes: 1 for rejected, 0 for accepted.
    """

    def __init__(self, clock: Clock, set_rejected: Callable[[int], None]) -> None:
        self._clock = clock
        self._set_rejected = set_rejected
        self._lock = threading.Lock()
        self._rejection: EngineCredentialsRejected | None = None
        self._rejected_at = 0.0

    def rejected(self, error: EngineCredentialsRejected) -> None:
        """A call failed for want of credentials that are accepted."""
        with self._lock:
            self._rejection, self._rejected_at = error, self._clock.monotonic()
            self._set_rejected(1)

    def accepted(self) -> None:
        """A call met nothing of that kind."""
        if self._rejection is not None:
            with self._lock:
                self._rejection = None
                self._set_rejected(0)

    def check(self) -> None:
        """Tells what the latest call said.

        Raises:
            EngineCredentialsRejected: It was rejected a short while ago.
        """
        rejection = self._rejection
        if rejection is not None and self._clock.monotonic() - self._rejected_at < REJECTION_SECONDS:
            raise rejection
