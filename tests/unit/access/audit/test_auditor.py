import errno
import logging
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from tests.fakes.clock import FakeClock

from tokend_server.access.audit.auditor import REFUSALS_BURST, REFUSALS_PER_SECOND, SUMMARY_SECONDS, Auditor
from tokend_server.access.audit.file_log import FileAuditLog
from tokend_server.access.audit.log import AuditLog, AuditWriteFailed
from tokend_server.access.audit.record import AuditEntry
from tokend_server.errors import AuditUnavailable

ENTRY = AuditEntry(1_800_000_000.0, "GetOpenIdTokenForDeveloperIdentity", caller="key:checkout")


class FailingLog:
    """A log where every write fails, for a set reason."""

    def __init__(self, number: int) -> None:
        self.number = number

    def write(self, _line: bytes) -> None:
        error = OSError(self.number, "why")
        raise AuditWriteFailed("the log", error) from error

    def reopen(self) -> None: ...

    def close(self) -> None: ...


class UnderTest:
    def __init__(self, log: AuditLog | None, *, required: bool) -> None:
        self.clock = FakeClock()
        self.failures: list[str] = []
        self.events = 0
        self._auditor = Auditor(
            log, required=required, clock=self.clock, event_id=self._event_id, on_failure=self.failures.append
        )
        self.record = self._auditor.record

    def _event_id(self) -> str:
        self.events += 1
        return f"event-{self.events}"


@pytest.mark.parametrize("required", [True, False])
def test_each_entry_is_a_line_with_an_id_of_its_own(tmp_path: Path, *, required: bool) -> None:
    log = FileAuditLog(tmp_path / "audit.log", FakeClock())
    audit = UnderTest(log, required=required)
    audit.record(ENTRY)
    audit.record(ENTRY._replace(caller="key:batch"))
    log.close()
    entries = [orjson.loads(line) for line in (tmp_path / "audit.log").read_bytes().splitlines()]
    assert [(each["eventID"], each["userIdentity"]["principalId"]) for each in entries] == [
        ("event-1", "key:checkout"),
        ("event-2", "key:batch"),
    ]
    assert audit.failures == []


def test_a_call_fails_if_its_required_audit_entry_cannot_be_written() -> None:
    log = FileAuditLog(Path("/dev/full"), FakeClock())
    audit = UnderTest(log, required=True)
    with pytest.raises(AuditUnavailable) as failed:
        audit.record(ENTRY)
    log.close()
    assert audit.failures == ["ENOSPC"]
    assert isinstance(failed.value.__cause__, AuditWriteFailed)
    assert "/dev/full" not in failed.value.text


def test_a_call_with_a_failed_optional_entry_succeeds_and_is_counted() -> None:
    audit = UnderTest(FailingLog(errno.ENOSPC), required=False)
    audit.record(ENTRY)
    audit.record(ENTRY)
    assert audit.failures == ["ENOSPC", "ENOSPC"]


def test_without_a_log_nothing_is_recorded() -> None:
    audit = UnderTest(None, required=True)
    audit.record(ENTRY)
    assert (audit.events, audit.failures) == (0, [])


def test_each_cause_of_write_failures_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    log = FailingLog(errno.ENOSPC)
    audit = UnderTest(log, required=False)

    def reported() -> int:
        caplog.clear()
        for number in (errno.ENOSPC, errno.EACCES):
            log.number = number
            audit.record(ENTRY)
        return len(caplog.records)

    assert [record.levelno for record in caplog.records] == []
    assert (reported(), reported()) == (2, 0)
    audit.clock.advance(59.5)
    assert reported() == 0
    audit.clock.advance(0.5)
    assert (reported(), reported()) == (2, 0)


def test_a_write_failure_is_logged_with_its_cause_and_without_the_entry(caplog: pytest.LogCaptureFixture) -> None:
    audit = UnderTest(FailingLog(errno.EACCES), required=False)
    audit.record(ENTRY)
    (record,) = caplog.records
    assert (record.levelno, vars(record)["error"]) == (logging.ERROR, "the log: why")
    assert "key:checkout" not in str(vars(record))


class UnauthenticatedCalls:
    """An auditor with a file, and rejections of unknown callers."""

    def __init__(self, path: Path) -> None:
        self.clock = FakeClock()
        self.omissions = 0
        self.log = FileAuditLog(path, self.clock)
        self._path = path
        self.auditor = Auditor(
            self.log,
            required=False,
            clock=self.clock,
            event_id=lambda: "id",
            on_failure=lambda _error: None,
            on_omission=self._omitted,
        )

    def _omitted(self) -> None:
        self.omissions += 1

    def refuse(self, times: int) -> int:
        """Returns how many of this many rejections should be logged."""
        return sum(not self.auditor.omit_refusal() for _ in range(times))

    def reported(self) -> list[int]:
        events = [orjson.loads(line) for line in self._path.read_bytes().splitlines()]
        return [event["additionalEventData"]["omitted"] for event in events if event["eventName"] == "OmittedRefusals"]


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[UnauthenticatedCalls]:
    yield (calls := UnauthenticatedCalls(tmp_path / "audit.log"))
    calls.log.close()


def test_audit_entries_of_refusals_are_limited_to_a_burst_and_then_one_a_second(audit: UnauthenticatedCalls) -> None:
    assert audit.refuse(150) == REFUSALS_BURST
    assert audit.omissions == 150 - REFUSALS_BURST
    audit.clock.advance(3)
    assert audit.refuse(10) == 3 * REFUSALS_PER_SECOND


def test_omitted_refusals_are_summarized_once_a_minute_and_counted_once(audit: UnauthenticatedCalls) -> None:
    audit.refuse(REFUSALS_BURST + 7)
    assert audit.reported() == []
    audit.clock.advance(SUMMARY_SECONDS)
    audit.auditor.record(ENTRY)
    assert audit.reported() == [7]
    audit.refuse(REFUSALS_BURST + 5)
    audit.auditor.record_summary()
    audit.auditor.record_summary()
    assert sum(audit.reported()) == audit.omissions


def test_the_summaries_of_a_flood_count_all_omissions(audit: UnauthenticatedCalls) -> None:
    for _ in range(200):
        audit.refuse(10)
        audit.clock.advance(1)
    audit.auditor.record_summary()
    assert sum(audit.reported()) == audit.omissions
    assert len(audit.reported()) <= 200 / SUMMARY_SECONDS + 1
