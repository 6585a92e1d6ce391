import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tokend_server.access.audit.log import AuditWriteFailed
from tokend_server.access.audit.queued_log import QueuedAuditLog

TIMEOUT = 30

#: A delay of writes, in seconds, that no test reaches.
NEVER = 3600.0


class Gated:
    """A log whose writes wait at a gate, like those to a hanging disk."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.written: list[bytes] = []
        self.failure: OSError | None = None
        self.reopened = self.closed = False

    def write(self, line: bytes) -> None:
        self.entered.set()
        self.gate.wait()
        if self.failure:
            raise AuditWriteFailed("gated", self.failure) from self.failure
        self.written.append(line)

    def reopen(self) -> None:
        self.reopened = True

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def gated() -> Iterator[Gated]:
    gated = Gated()
    gated.gate.set()
    yield gated
    gated.gate.set()


@pytest.fixture
def losses() -> list[AuditWriteFailed]:
    return []


def hang(gated: Gated, log: QueuedAuditLog) -> None:
    """Leaves the log with a delayed line."""
    gated.gate.clear()
    with suppress(AuditWriteFailed):
        log.write(b"late")


def resume(gated: Gated, log: QueuedAuditLog) -> None:
    gated.gate.set()
    log.reopen()  # a job behind all lines


def test_a_required_line_is_written_when_write_returns(gated: Gated, losses: list[AuditWriteFailed]) -> None:
    log = QueuedAuditLog(gated, required=True, on_loss=losses.append, timeout=TIMEOUT)
    for line in (b"one", b"two"):
        log.write(line)
        assert gated.written[-1] == line


def test_optional_lines_are_written_together(gated: Gated, losses: list[AuditWriteFailed]) -> None:
    log = QueuedAuditLog(gated, required=False, on_loss=losses.append, delay=NEVER)
    for line in (b"one", b"two"):
        log.write(line)
    assert gated.written == []
    log.reopen()
    assert gated.written == [b"one", b"two"]


def test_optional_lines_are_written_after_a_delay(gated: Gated, losses: list[AuditWriteFailed]) -> None:
    log = QueuedAuditLog(gated, required=False, on_loss=losses.append)
    log.write(b"one")
    assert gated.entered.wait(TIMEOUT)


@pytest.mark.parametrize("required", [True, False])
def test_waiting_lines_are_written_on_close(gated: Gated, losses: list[AuditWriteFailed], *, required: bool) -> None:
    log = QueuedAuditLog(gated, required=required, on_loss=losses.append, timeout=TIMEOUT, delay=NEVER)
    log.write(b"one")
    log.close()
    assert (gated.written, gated.closed) == ([b"one"], True)
    with pytest.raises(AuditWriteFailed):
        log.write(b"too late")


def test_a_required_line_that_fails_is_reported(gated: Gated, losses: list[AuditWriteFailed]) -> None:
    log = QueuedAuditLog(gated, required=True, on_loss=losses.append, timeout=TIMEOUT)
    gated.failure = OSError(28, "No space left on device")
    with pytest.raises(AuditWriteFailed) as failed:
        log.write(b"one")
    assert failed.value.code == "ENOSPC"
    assert losses == []


def test_a_failed_optional_line_is_a_loss(gated: Gated, losses: list[AuditWriteFailed]) -> None:
    log = QueuedAuditLog(gated, required=False, on_loss=losses.append)
    gated.failure = OSError(28, "No space left on device")
    log.write(b"one")
    log.reopen()
    assert [loss.code for loss in losses] == ["ENOSPC"]


def test_required_lines_fail_at_once_while_the_disk_hangs(gated: Gated, losses: list[AuditWriteFailed]) -> None:
    log = QueuedAuditLog(gated, required=True, on_loss=losses.append, timeout=0.01)
    hang(gated, log)
    for _ in range(3):
        with pytest.raises(AuditWriteFailed) as failed:
            log.write(b"behind it")
        assert failed.value.code == "ETIMEDOUT"
    resume(gated, log)
    log = QueuedAuditLog(gated, required=True, on_loss=losses.append, timeout=TIMEOUT)
    log.write(b"after")
    assert gated.written == [b"late", b"after"]


def test_a_timed_out_required_line_is_removed_from_the_queue(gated: Gated, losses: list[AuditWriteFailed]) -> None:
    log = QueuedAuditLog(gated, required=True, on_loss=losses.append, timeout=0.05)
    gated.gate.clear()
    first = threading.Thread(target=hang, args=(gated, log))
    first.start()
    assert gated.entered.wait(TIMEOUT)
    with pytest.raises(AuditWriteFailed):
        log.write(b"behind it")
    first.join()
    resume(gated, log)
    assert gated.written == [b"late"]


def test_optional_lines_are_queued_while_the_disk_hangs(gated: Gated, losses: list[AuditWriteFailed]) -> None:
    log = QueuedAuditLog(gated, required=False, on_loss=losses.append, delay=0, max_waiting=2)
    hang(gated, log)
    assert gated.entered.wait(TIMEOUT)
    log.write(b"one")
    log.write(b"two")
    with pytest.raises(AuditWriteFailed) as failed:
        log.write(b"one too many")
    assert failed.value.code == "ETIMEDOUT"
    resume(gated, log)
    log.write(b"after")
    log.reopen()
    assert gated.written == [b"late", b"one", b"two", b"after"]
    assert losses == []


@pytest.mark.parametrize("required", [True, False])
def test_the_log_closes_while_the_disk_hangs(gated: Gated, losses: list[AuditWriteFailed], *, required: bool) -> None:
    log = QueuedAuditLog(gated, required=required, on_loss=losses.append, timeout=0.01)
    hang(gated, log)
    log.close()
    assert not gated.closed
    with pytest.raises(AuditWriteFailed):
        log.reopen()
