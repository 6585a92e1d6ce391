import logging
import threading
from collections.abc import Callable

from tokend_server.audit.log import AuditLog, AuditWriteFailed
from tokend_server.audit.record import AuditEntry, to_json
from tokend_server.clock import Clock
from tokend_server.errors import AuditUnavailable

_log = logging.getLogger(__name__)

#: Seconds between two complaints about the same cause.
_COMPLAINT_SECONDS = 60.0


class Auditor:
    """Records calls, and decides what becomes of a call that cannot be recorded.

    Args:
        log: Where records go; None for nowhere.
        required: Whether a call that cannot be recorded fails.
        clock: The time.
        event_id: Makes the id of the next event.
        on_failure: Is told of each record that could not be written: the name of the error's number, such as ENOSPC.
    """

    def __init__(
        self,
        log: AuditLog | None,
        *,
        required: bool,
        clock: Clock,
        event_id: Callable[[], str],
        on_failure: Callable[[str], None],
    ) -> None:
        self._audit_log = log
        self._required = required
        self._clock = clock
        self._event_id = event_id
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._next_complaints: dict[str, float] = {}

    @property
    def records(self) -> bool:
        """Whether records go anywhere."""
        return self._audit_log is not None

    def record(self, entry: AuditEntry) -> None:
        """Writes an entry, before the call that it tells of is answered.

        Raises:
            AuditUnavailable: It could not be written, and has to be.
        """
        if self._audit_log is None:
            return
        try:
            self._audit_log.write(to_json(entry, self._event_id()))
        except AuditWriteFailed as failure:
            self.lost(failure)
            if self._required:
                raise AuditUnavailable("The call could not be recorded.") from failure

    def lost(self, failure: AuditWriteFailed) -> None:
        """Counts a record that could not be written, and complains of it now and then."""
        self._on_failure(failure.code)
        self._complain(failure)

    def _complain(self, failure: AuditWriteFailed) -> None:
        now = self._clock.monotonic()
        with self._lock:
            if now < self._next_complaints.get(failure.code, now):
                return
            self._next_complaints[failure.code] = now + _COMPLAINT_SECONDS
        _log.error("calls cannot be recorded", extra={"error": str(failure), "required": self._required})
