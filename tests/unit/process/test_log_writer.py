"""The log's own thread: no thread of the service waits for standard error."""

import logging
import os
import threading
from pathlib import Path

import pytest
from tests.support.files import largest_file
from tests.support.pipes import Pipe

from tokend_server.process.log_writer import LogWriter

TIMEOUT = 30


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("part", logging.INFO, __file__, 1, message, (), None)


def read_until(pipe: Pipe, ending: bytes) -> bytes:
    data = b""
    while not data.endswith(ending):
        data += os.read(pipe.reader, 65536)
    return data


def test_lines_are_written_in_order(pipe: Pipe) -> None:
    log = LogWriter(pipe.writer)
    for number in range(3):
        log.handle(record(f"line {number}"))
    log.flush()
    assert os.read(pipe.reader, 65536) == b"line 0\nline 1\nline 2\n"
    log.close()


def test_nothing_waits_for_a_reader_and_drops_are_counted_and_logged(pipe: Pipe) -> None:
    log = LogWriter(pipe.writer, max_waiting=100_000)
    dropped: list[int] = []
    for _ in range(100):
        log.handle(record("x" * 9_999))
    log.set_drop_counter(dropped.append)
    assert 70 < sum(dropped) < 100  # the pipe contains 65,536 octets, and 100,000 wait
    before = sum(dropped)
    log.handle(record("x" * 9_999))
    assert sum(dropped) == before + 1
    assert read_until(pipe, b"because they could not be written\n")
    log.close()


def test_records_without_a_reader_are_dropped_and_counted(pipe: Pipe) -> None:
    log = LogWriter(pipe.writer)
    counted = threading.Event()
    log.set_drop_counter(lambda _number: counted.set())
    os.close(pipe.reader)
    log.handle(record("to whom"))
    assert counted.wait(TIMEOUT)
    log.close()


def test_drops_are_logged_once_when_lines_can_be_written_again(pipe: Pipe) -> None:
    log = LogWriter(pipe.writer)
    dropped: list[int] = []
    log.set_drop_counter(dropped.append)
    reader, writer = os.pipe()
    os.close(pipe.reader)
    for _ in range(3):
        log.handle(record("to whom"))
        log.flush()
    os.dup2(writer, pipe.writer)
    os.close(writer)
    log.handle(record("back"))
    lines = read_until(Pipe(reader, pipe.writer), b"because they could not be written\n")
    assert lines == b"back\nlog records were dropped, because they could not be written\n"
    assert dropped == [1, 1, 1]
    os.close(reader)
    log.close()


def test_records_for_a_closed_descriptor_are_dropped_and_counted(pipe: Pipe) -> None:
    log = LogWriter(os.dup(pipe.writer))
    counted = threading.Event()
    log.set_drop_counter(lambda _number: counted.set())
    os.close(log._descriptor)  # noqa: SLF001 - what an operator or a library does by mistake
    log.handle(record("where"))
    assert counted.wait(TIMEOUT)
    log.close()


def test_a_record_that_cannot_be_formatted_is_dropped(pipe: Pipe) -> None:
    log = LogWriter(pipe.writer)
    dropped: list[int] = []
    log.set_drop_counter(dropped.append)
    log.handle(logging.LogRecord("part", logging.INFO, __file__, 1, "%d", ("no number",), None))
    assert dropped == [1]
    log.close()


@pytest.mark.parametrize("written", [0, 1, 7])
def test_a_line_after_a_truncated_line_starts_on_a_new_line(tmp_path: Path, written: int) -> None:
    path = tmp_path / "log"
    with path.open("ab") as file:
        log = LogWriter(file.fileno())
        log.handle(record("before"))
        log.flush()
        with largest_file(7 + written):
            for _ in range(2):
                log.handle(record("cut off somewhere"))
                log.flush()
        log.handle(record("after"))
        log.close()
    cut = b"cut off somewhere"[:written] + b"\n" if written else b""
    assert path.read_bytes().startswith(b"before\n" + cut + b"after\n")


def test_closing_does_not_wait_for_a_reader(pipe: Pipe) -> None:
    log = LogWriter(pipe.writer)
    log.handle(record("x" * 300_000))
    log.close()
    dropped: list[int] = []
    log.set_drop_counter(dropped.append)
    log.handle(record("late"))
    assert dropped == [1]
