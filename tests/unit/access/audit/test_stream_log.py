import os
import select
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.fakes.clock import FakeClock
from tests.support.pipes import Pipe

from tokend_server.access.audit.log import AuditWriteFailed
from tokend_server.access.audit.stream_log import StreamAuditLog

#: More than the capacity of a pipe.
LONG = b"x" * 300_000

FOR_EVER = 3600.0


class HurryingClock(FakeClock):
    """A clock that advances with each reading."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step = step

    def monotonic(self) -> float:
        self.advance(self.step)
        return super().monotonic()


class StoppingClock(FakeClock):
    """A clock whose second reading is blocked."""

    def __init__(self) -> None:
        super().__init__()
        self.readings = 0
        self.reached, self.released = threading.Event(), threading.Event()

    def monotonic(self) -> float:
        self.readings += 1
        if self.readings == 2:
            self.reached.set()
            self.released.wait()
        return super().monotonic()


def fill(log: StreamAuditLog, line: bytes = b"filling") -> None:
    for _ in range(100_000):
        log.write(line)


def test_each_line_is_in_the_stream_when_write_returns(pipe: Pipe) -> None:
    log = StreamAuditLog(pipe.writer, FakeClock())
    log.write(b"one")
    assert pipe.drain() == b"one\n"
    log.reopen()
    log.write(b"two")
    assert pipe.drain() == b"two\n"


def test_a_line_longer_than_the_pipe_buffer_waits_for_the_reader(pipe: Pipe) -> None:
    log = StreamAuditLog(pipe.writer, FakeClock(), timeout=FOR_EVER)
    with ThreadPoolExecutor() as pool:
        written = pool.submit(log.write, LONG)
        assert pipe.read(len(LONG) + 1) == LONG + b"\n"
        written.result()


def test_a_line_waits_for_the_reader_until_its_timeout(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    class RecordingPoll:
        waited: list[float]

        def register(self, descriptor: int, _events: int) -> None:
            self.waited = []
            assert descriptor == pipe.writer

        def poll(self, milliseconds: float) -> list[int]:
            self.waited.append(milliseconds)
            return [pipe.writer]

    poll = RecordingPoll()
    monkeypatch.setattr(select, "poll", lambda: poll)
    StreamAuditLog(pipe.writer, FakeClock(), timeout=3.0).write(b"line")
    assert poll.waited == [3000]


def test_a_write_to_an_unread_pipe_times_out(pipe: Pipe) -> None:
    log = StreamAuditLog(pipe.writer, FakeClock(), timeout=0.01)
    with pytest.raises(AuditWriteFailed, match="nothing reads") as failed:
        fill(log)
    assert failed.value.code == "ETIMEDOUT"
    assert isinstance(failed.value.__cause__, TimeoutError)


def test_the_timeout_applies_to_a_whole_line_and_not_to_each_part(pipe: Pipe) -> None:
    log = StreamAuditLog(pipe.writer, HurryingClock(FOR_EVER / 3), timeout=FOR_EVER)
    with pytest.raises(AuditWriteFailed):
        log.write(LONG)


def test_lines_fail_immediately_while_a_timed_out_stream_is_unread(pipe: Pipe) -> None:
    clock = HurryingClock(FOR_EVER)
    log = StreamAuditLog(pipe.writer, clock, timeout=FOR_EVER)
    with pytest.raises(AuditWriteFailed):
        fill(log)
    clock.step = 0.0  # from here on, a waiting line does not time out
    for _ in range(10):
        with pytest.raises(AuditWriteFailed):
            log.write(b"lost")
    assert pipe.drain()
    log.write(b"after")
    assert pipe.drain().splitlines()[-1] == b"after"
    with ThreadPoolExecutor() as pool:  # and new lines wait again
        written = pool.submit(log.write, LONG)
        assert pipe.read(len(LONG) + 1) == LONG + b"\n"
        written.result()


def test_a_line_after_a_truncated_line_starts_on_a_new_line(pipe: Pipe) -> None:
    log = StreamAuditLog(pipe.writer, FakeClock(), timeout=0.01)
    with pytest.raises(AuditWriteFailed):
        log.write(LONG)
    begun = pipe.drain()
    assert 0 < len(begun) < len(LONG)
    log.write(b"after")
    log.write(b"and after")
    assert pipe.drain() == b"\nafter\nand after\n"


def test_lines_of_threads_do_not_mix(pipe: Pipe) -> None:
    log = StreamAuditLog(pipe.writer, FakeClock(), timeout=FOR_EVER)
    lines = [bytes([65 + number % 26]) * (number * 97 % 9000) for number in range(200)]
    with ThreadPoolExecutor(4) as pool:
        written = [pool.submit(log.write, line) for line in lines]
        read = pipe.read(sum(len(line) + 1 for line in lines))
        for each in written:
            each.result()
    assert sorted(read.splitlines()) == sorted(lines)


def test_waiting_for_another_line_times_out(pipe: Pipe) -> None:
    clock = StoppingClock()
    log = StreamAuditLog(pipe.writer, clock, timeout=0.01)
    with ThreadPoolExecutor() as pool:
        held_up = pool.submit(log.write, b"held up")
        clock.reached.wait()
        with pytest.raises(AuditWriteFailed) as failed:
            log.write(b"behind it")
        clock.released.set()
        held_up.result()
    assert failed.value.code == "ETIMEDOUT"
    assert pipe.drain() == b"held up\n"


def test_a_write_without_a_reader_fails_without_ending_the_process(pipe: Pipe) -> None:
    log = StreamAuditLog(pipe.writer, FakeClock(), timeout=FOR_EVER)
    log.write(b"one")
    os.close(pipe.reader)
    for _ in range(2):
        with pytest.raises(AuditWriteFailed) as failed:
            log.write(b"two")
        assert failed.value.code == "EPIPE"


def test_a_full_disk_behind_the_stream_fails() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(AuditWriteFailed) as failed:
        StreamAuditLog(descriptor, FakeClock()).write(b"one")
    os.close(descriptor)
    assert failed.value.code == "ENOSPC"


def test_closing_the_log_does_not_close_the_stream(pipe: Pipe) -> None:
    log = StreamAuditLog(pipe.writer, FakeClock())
    log.close()
    with pytest.raises(AuditWriteFailed):
        log.write(b"late")
    os.write(pipe.writer, b"by its owner")
    assert pipe.drain() == b"by its owner"
