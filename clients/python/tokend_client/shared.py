"""What the token sources of one client share."""

import itertools
import logging

from tokend_client.telemetry import Telemetry

_LARGEST_SKEW = 60.0

_LOG = logging.getLogger("tokend_client")


class Shared:
    """What the token sources of one client learn from each other.

    Args:
        telemetry: What counts and logs.

    Attributes:
        telemetry: The same.
        successes: Another number after every refresh that succeeded.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        self._count = itertools.count(1)
        self._warned = False
        self.successes = 0

    def note_success(self) -> None:
        """Tells all sources that the service answers."""
        self.successes = next(self._count)

    def check_clock(self, ahead: float) -> None:
        """Warns, once, of a wall clock that is so many seconds ahead of the service's, or behind it."""
        if abs(ahead) <= _LARGEST_SKEW or self._warned:
            return
        self._warned = True
        side = "ahead of" if ahead > 0 else "behind"
        _LOG.warning("The clock of this machine is %.0f s %s the token service's", abs(ahead), side)
