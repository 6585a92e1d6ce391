"""The state that the token sources of one client share."""

import itertools
import logging

from tokend_client.telemetry import Telemetry

_MAX_SKEW = 60.0

_LOG = logging.getLogger("tokend_client")


class Shared:
    """The state that the token sources of one client share.

    Args:
        telemetry: Counts and logs.

    Attributes:
        telemetry: Counts and logs.
        successes: A number that changes with every successful refresh.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        self._count = itertools.count(1)
        self._warned = False
        self.successes = 0

    def record_success(self) -> None:
        """Records for all sources that the service responds."""
        self.successes = next(self._count)

    def check_clock(self, ahead: float) -> None:
        """Logs one warning if the wall clock is far ahead of the service's, or behind it, by this many seconds."""
        if abs(ahead) <= _MAX_SKEW or self._warned:
            return
        self._warned = True
        side = "ahead of" if ahead > 0 else "behind"
        _LOG.warning("The clock of this machine is %.0f s %s the token service's", abs(ahead), side)
