"""When the write-ahead log is copied into the database file, and how failures are reported."""

import threading

import pytest
from tests.fakes.clock import FakeClock

from tokend_server.engines.local.stores.sqlite.checkpoints import OTHERS_INTERVAL, WARNING_AFTER, Checkpoints
from tokend_server.errors import EngineUnavailable


class ScriptedLog:
    """A log with a state set by the test."""

    def __init__(self) -> None:
        self.writes = self.writes_of_others = False
        self.copied = 0
        self.was_copied = threading.Event()
        self.outcome: bool | EngineUnavailable = True

    def has_writes(self) -> bool:
        return self.writes

    def has_writes_of_others(self) -> bool:
        return self.writes_of_others

    def checkpoint(self) -> bool:
        if isinstance(self.outcome, EngineUnavailable):
            raise self.outcome
        self.copied += 1
        self.was_copied.set()
        self.writes = not self.outcome
        return self.outcome


@pytest.fixture
def log() -> ScriptedLog:
    return ScriptedLog()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def checkpoints(log: ScriptedLog, clock: FakeClock) -> Checkpoints:
    return Checkpoints(log, clock)


def test_writes_are_checkpointed_once(log: ScriptedLog, checkpoints: Checkpoints) -> None:
    checkpoints.checkpoint_if_due()
    assert log.copied == 0
    log.writes = True
    checkpoints.checkpoint_if_due()
    checkpoints.checkpoint_if_due()
    assert log.copied == 1


def test_writes_of_other_processes_are_checkpointed_later(
    log: ScriptedLog, clock: FakeClock, checkpoints: Checkpoints
) -> None:
    log.writes_of_others = True
    checkpoints.checkpoint_if_due()
    assert log.copied == 0
    clock.advance(OTHERS_INTERVAL)
    checkpoints.checkpoint_if_due()
    checkpoints.checkpoint_if_due()
    assert log.copied == 1


@pytest.mark.parametrize("outcome", [False, EngineUnavailable("It does not answer.")])
def test_a_file_that_falls_behind_is_reported_once(
    log: ScriptedLog,
    clock: FakeClock,
    checkpoints: Checkpoints,
    caplog: pytest.LogCaptureFixture,
    outcome: bool | EngineUnavailable,  # noqa: FBT001 - a case
) -> None:
    caplog.set_level("INFO")
    log.writes, log.outcome = True, outcome
    checkpoints.checkpoint_if_due()
    assert (checkpoints.seconds_behind(), caplog.messages) == (0, [])
    clock.advance(WARNING_AFTER)
    for _ in range(3):
        checkpoints.checkpoint_if_due()
    assert checkpoints.seconds_behind() == WARNING_AFTER
    assert [message.partition(":")[0] for message in caplog.messages] == ["the database file is behind its log"]
    log.outcome = True
    checkpoints.checkpoint_if_due()
    assert checkpoints.seconds_behind() == 0
    assert caplog.messages[1:] == ["the database file contains all of its log again"]


def test_the_thread_checks_immediately_and_periodically(log: ScriptedLog, clock: FakeClock) -> None:
    log.writes = True
    checkpoints = Checkpoints(log, clock, interval=0.01)
    checkpoints.start()
    assert log.copied == 1
    log.was_copied.clear()
    log.writes = True
    assert log.was_copied.wait(60)
    checkpoints.stop()
