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

#: Seconds between two log lines about the same cause.
_LOSS_LOG_SECONDS = 60.0

#: The rate a second, and the burst, of refusals of unknown callers that are recorded. Further refusals are only
#: counted, so that unknown callers cannot fill the log.
REFUSALS_PER_SECOND = 1.0
REFUSALS_BURST = 100

#: Seconds between two lines with the number of omitted refusals.
SUMMARY_SECONDS = 60.0


def _uncounted() -> None:
    """Does nothing."""


class Auditor:
    """Records calls, and fails calls that cannot be recorded if records are required.

    Args:
        log: The destination of records; None for no audit log.
        required: Whether calls that cannot be recorded fail.
        clock: The time.
        event_id: Generates the ids of events.
        on_failure: Called for each record that could not be written, with the error's name, such as ENOSPC.
        on_omission: Called for each refusal that is only counted.
    """

    def __init__(  # noqa: PLR0913 - all its parts
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
    def is_enabled(self) -> bool:
        """Whether there is an audit log."""
        return self._audit_log is not None

    @property
    def is_required(self) -> bool:
        """Whether calls that cannot be recorded fail."""
        return self._required and self.is_enabled

    def omit_refusal(self) -> bool:
        """Returns whether a refusal of an unknown caller is only counted, and counts it in that case."""
        if not self._refusals.take():
            return False
        self._on_omission()
        with self._lock:
            if not self._omitted:
                self._summary_at = self._clock.monotonic() + SUMMARY_SECONDS
            self._omitted += 1
        self._record_summary_if_due()
        return True

    def record_summary(self) -> None:
        """Records the number of refusals omitted since the last such record, if any."""
        with self._lock:
            omitted, self._omitted = self._omitted, 0
        if omitted:
            with suppress(AuditUnavailable):  # it has been counted as a failure
                self._write(AuditEntry(self._clock.now(), OMITTED_REFUSALS, omitted=omitted))

    def record(self, entry: AuditEntry) -> None:
        """Writes the entry of a call before the call is answered.

        Raises:
            AuditUnavailable: It could not be written although records are required.
        """
        if self._omitted:
            self._record_summary_if_due()
        self._write(entry)

    def _record_summary_if_due(self) -> None:
        if self._clock.monotonic() >= self._summary_at:
            self.record_summary()

    def _write(self, entry: AuditEntry) -> None:
        if self._audit_log is None:
            return
        try:
            self._audit_log.write(to_json(entry, self._event_id()))
        except AuditWriteFailed as failure:
            self.record_loss(failure)
            if self._required:
                raise AuditUnavailable("The call could not be recorded.") from failure

    def record_loss(self, failure: AuditWriteFailed) -> None:
        """Counts a record that could not be written, and logs the failure at intervals."""
        self._on_failure(failure.code)
        now = self._clock.monotonic()
        with self._lock:
            if now < self._next_complaints.get(failure.code, now):
                return
            self._next_complaints[failure.code] = now + _LOSS_LOG_SECONDS
        _log.error("calls cannot be recorded", extra={"error": str(failure), "required": self._required})
