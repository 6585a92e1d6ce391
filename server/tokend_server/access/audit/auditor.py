import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from tokend_server.access.audit.log import AuditLog, AuditWriteFailed
from tokend_server.access.audit.record import OMITTED_REFUSALS, AuditEntry, to_json
from tokend_server.clock import Clock
from tokend_server.errors import AuditUnavailable
from tokend_server.token_bucket import TokenBucket

_log = logging.getLogger(__name__)

#: Seconds between two complaints about the same cause.
_COMPLAINT_SECONDS = 60.0

#: Refusals of callers who are not known that have lines of their own: a second, and at once after a pause. The others
#: are counted, so that no one can fill the log without being known.
REFUSALS_PER_SECOND = 1.0
REFUSALS_BURST = 100

#: Seconds between two lines that tell how many have none.
SUMMARY_SECONDS = 60.0


def _uncounted() -> None:
    """Counts nothing."""


class Auditor:
    """Records calls, and decides what becomes of a call that cannot be recorded.

    Args:
        log: Where records go; None for nowhere.
        required: Whether a call that cannot be recorded fails.
        clock: The time.
        event_id: Makes the id of the next event.
        on_failure: Called for each record that could not be written, with the error's name, such as ENOSPC.
        on_omission: Called for each refusal that has no line of its own.
    """

    def __init__(  # noqa: PLR0913 - what it needs and whom it informs
        self,
        log: AuditLog | None,
        *,
        required: bool,
        clock: Clock,
        event_id: Callable[[], str],
        on_failure: Callable[[str], None],
        on_omission: Callable[[], None] = _uncounted,
    ) -> None:
        self._audit_log = log
        self._required = required
        self._clock = clock
        self._event_id = event_id
        self._on_failure = on_failure
        self._on_omission = on_omission
        self._refusals = TokenBucket(REFUSALS_PER_SECOND, REFUSALS_BURST, clock)
        self._omitted = 0
        self._summary_at = 0.0
        self._lock = threading.Lock()
        self._next_complaints: dict[str, float] = {}

    @property
    def records(self) -> bool:
        """Whether records go anywhere."""
        return self._audit_log is not None

    @property
    def is_required(self) -> bool:
        """Whether nothing may happen that is not recorded."""
        return self._required and self.records

    def omits_refusal(self) -> bool:
        """Whether one more refusal of a caller who is not known is counted rather than recorded."""
        if not self._refusals.take():
            return False
        self._on_omission()
        with self._lock:
            if not self._omitted:
                self._summary_at = self._clock.monotonic() + SUMMARY_SECONDS
            self._omitted += 1
        self._summarise_if_due()
        return True

    def summarise(self) -> None:
        """Records how many refusals were omitted since that was last told, if any were."""
        with self._lock:
            omitted, self._omitted = self._omitted, 0
        if omitted:
            with suppress(AuditUnavailable):  # it is counted among the failures
                self._write(AuditEntry(self._clock.now(), OMITTED_REFUSALS, omitted=omitted))

    def record(self, entry: AuditEntry) -> None:
        """Writes an entry, before the call that it tells of is answered.

        Raises:
            AuditUnavailable: It could not be written, and has to be.
        """
        if self._omitted:
            self._summarise_if_due()
        self._write(entry)

    def _summarise_if_due(self) -> None:
        if self._clock.monotonic() >= self._summary_at:
            self.summarise()

    def _write(self, entry: AuditEntry) -> None:
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
