"""Standard streams that do not block threads; each test changes the descriptors of a separate process."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tokend_server.process import standard_streams


@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal"])
def test_a_full_stream_fails_rather_than_waits(kind: str) -> None:
    reader, writer = {
        "pipe": os.pipe,
        "socket": lambda: tuple(each.detach() for each in socket.socketpair()),
        "terminal": os.openpty,
    }[kind]()
    standard_streams.set_non_blocking(writer)
    with pytest.raises(BlockingIOError):
        _write_for_ever(writer)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_a_shared_stream_stays_blocking_for_others(kind: str) -> None:
    reader, writer = os.pipe() if kind == "pipe" else os.openpty()
    shared = os.dup(writer)
    standard_streams.set_non_blocking(writer)
    assert not os.get_blocking(writer)
    assert os.get_blocking(shared)
    for descriptor in (reader, writer, shared):
        os.close(descriptor)


def test_a_file_remains_writable(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as file:
        standard_streams.set_non_blocking(file.fileno())
        file.write(b"still there")
    assert (tmp_path / "log").read_bytes() == b"still there"


def test_no_file_gets_the_descriptor_of_a_closed_standard_stream(tmp_path: Path) -> None:
    program = (
        "import os; from tokend_server.cli.failure import open_missing_standard_streams; "
        "[os.close(each) for each in (0, 2)]; open_missing_standard_streams(); "
        f"print(os.open({str(tmp_path / 'database')!r}, os.O_CREAT | os.O_RDWR))"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) > standard_streams.ERROR


def _write_for_ever(descriptor: int) -> None:
    while True:
        os.write(descriptor, b"x" * 4096)
