import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.fakes.clock import FakeClock
from tests.support.files import largest_file
from tests.support.other_users import UNPRIVILEGED

from tokend_server.access.audit.file_log import FileAuditLog
from tokend_server.access.audit.log import AuditWriteFailed

_APPENDING = """
import sys
from pathlib import Path
from tokend_server.access.audit.file_log import FileAuditLog
from tokend_server.clock import SystemClock

log = FileAuditLog(Path(sys.argv[1]), SystemClock())
print("ready", flush=True)
sys.stdin.readline()
for number in range(500):
    log.write(f"{sys.argv[2]} {number} {'x' * (number * 37 % 9000)}".encode())
"""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.log"


@pytest.fixture
def log(path: Path, clock: FakeClock) -> Iterator[FileAuditLog]:
    log = FileAuditLog(path, clock)
    yield log
    log.close()


@contextmanager
def inaccessible(directory: Path) -> Iterator[None]:
    """A directory that this process cannot search, even as root."""
    user, mode = os.geteuid(), directory.stat().st_mode
    directory.chmod(0)
    try:
        if user == 0:
            os.seteuid(UNPRIVILEGED)
        yield
    finally:
        os.seteuid(user)
        directory.chmod(mode)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def fill(log: FileAuditLog) -> None:
    for _ in range(1000):
        log.write(b"x" * 1000)


def test_each_line_is_in_the_file_when_write_returns(log: FileAuditLog, path: Path) -> None:
    log.write(b"one")
    assert path.read_bytes() == b"one\n"
    log.write(b"two")
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_new_file_has_no_permissions_for_others(log: FileAuditLog, path: Path) -> None:
    log.write(b"one")
    assert stat.S_IMODE(path.stat().st_mode) & ~0o640 == 0


def test_lines_are_appended_to_existing_content(path: Path, clock: FakeClock) -> None:
    path.write_bytes(b"before\n")
    log = FileAuditLog(path, clock)
    log.write(b"one")
    log.close()
    assert path.read_bytes() == b"before\none\n"


def test_an_incomplete_last_line_of_a_previous_process_is_terminated(path: Path, clock: FakeClock) -> None:
    path.write_bytes(b'{"eventVer')
    log = FileAuditLog(path, clock)
    log.write(b"one")
    log.write(b"two")
    log.close()
    assert path.read_bytes() == b'{"eventVer\none\ntwo\n'


@pytest.mark.parametrize("missing", ["missing/audit.log", "file/audit.log", "."])
def test_a_path_that_cannot_be_a_file_is_refused_at_once(missing: str, tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=missing):
        FileAuditLog(tmp_path / missing, clock)


def test_a_fifo_without_a_reader_is_refused_and_not_waited_for(path: Path, clock: FakeClock) -> None:
    os.mkfifo(path)
    with pytest.raises(OSError, match=path.name):
        FileAuditLog(path, clock)


def test_a_write_to_a_full_fifo_fails_without_waiting(path: Path, clock: FakeClock) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = FileAuditLog(path, clock)
    with pytest.raises(AuditWriteFailed) as failed:
        fill(log)
    log.close()
    os.close(reader)
    assert failed.value.code == "EAGAIN"


def test_a_full_disk_fails_with_an_error(clock: FakeClock) -> None:
    log = FileAuditLog(Path("/dev/full"), clock)
    with pytest.raises(AuditWriteFailed, match="No space left") as failed:
        log.write(b"one")
    log.close()
    assert failed.value.code == "ENOSPC"
    assert isinstance(failed.value.__cause__, OSError)


@pytest.mark.parametrize("written", [0, 1, 9])
def test_a_line_after_a_truncated_line_starts_on_a_new_line(log: FileAuditLog, path: Path, written: int) -> None:
    log.write(b"before")
    with largest_file(7 + written):
        for _ in range(2):
            with pytest.raises(AuditWriteFailed) as failed:
                log.write(b"cut off somewhere")
            assert failed.value.code == "EFBIG"
    log.write(b"after")
    log.write(b"and after")
    cut = [b"cut off somewhere"[:written]] if written else []
    assert path.read_bytes().splitlines() == [b"before", *cut, b"after", b"and after"]


def test_a_line_that_fails_leaves_no_empty_line(log: FileAuditLog, path: Path) -> None:
    with largest_file(3), pytest.raises(AuditWriteFailed):
        log.write(b"cut off")
    with largest_file(4), pytest.raises(AuditWriteFailed):
        log.write(b"lost")
    log.write(b"after")
    assert path.read_bytes() == b"cut\nafter\n"


def test_a_renamed_file_is_replaced_by_a_new_file_within_a_second(
    log: FileAuditLog, path: Path, clock: FakeClock
) -> None:
    log.write(b"one")
    old = path.rename(path.with_suffix(".1"))
    log.write(b"two")
    clock.advance(1)
    log.write(b"three")
    assert (old.read_bytes(), path.read_bytes()) == (b"one\ntwo\n", b"three\n")


def test_lines_are_appended_to_a_new_file_created_by_another_process(
    log: FileAuditLog, path: Path, clock: FakeClock
) -> None:
    log.write(b"one")
    path.rename(path.with_suffix(".1"))
    path.write_bytes(b"by another\n")
    clock.advance(1)
    log.write(b"two")
    assert path.read_bytes() == b"by another\ntwo\n"


def test_a_removed_file_is_made_again(log: FileAuditLog, path: Path, clock: FakeClock) -> None:
    for _ in range(2):
        path.unlink()
        clock.advance(1)
        log.write(b"one")
        assert path.read_bytes() == b"one\n"


def test_a_file_truncated_in_place_is_written_from_its_start(log: FileAuditLog, path: Path) -> None:
    log.write(b"a long line")
    os.truncate(path, 0)
    log.write(b"one")
    assert path.read_bytes() == b"one\n"


def test_reopening_switches_from_a_renamed_file_to_a_new_file_immediately(log: FileAuditLog, path: Path) -> None:
    log.write(b"one")
    old = path.rename(path.with_suffix(".1"))
    log.reopen()
    log.write(b"two")
    assert (old.read_bytes(), path.read_bytes()) == (b"one\n", b"two\n")


def test_reopening_keeps_the_old_file_if_a_new_one_cannot_be_opened(log: FileAuditLog, path: Path) -> None:
    old = path.rename(path.with_suffix(".1"))
    path.mkdir()
    with pytest.raises(AuditWriteFailed) as failed:
        log.reopen()
    log.write(b"one")
    assert (failed.value.code, old.read_bytes()) == ("EISDIR", b"one\n")


def test_reopening_leaks_no_file_descriptors(log: FileAuditLog, path: Path, clock: FakeClock) -> None:
    before = descriptors()
    for _ in range(10):
        path.unlink()
        clock.advance(1)
        log.write(b"one")
        log.reopen()
    assert descriptors() == before


def test_lines_fail_while_the_file_cannot_be_created(log: FileAuditLog, path: Path, clock: FakeClock) -> None:
    path.unlink()
    path.mkdir()
    clock.advance(1)
    for _ in range(2):
        with pytest.raises(AuditWriteFailed) as failed:
            log.write(b"lost")
        assert failed.value.code == "EISDIR"
    path.rmdir()
    log.write(b"one")
    assert path.read_bytes() == b"one\n"


def test_writing_fails_without_permission_and_continues_when_it_is_restored(
    path: Path, clock: FakeClock, log: FileAuditLog
) -> None:
    log.write(b"one")
    clock.advance(1)
    with inaccessible(path.parent), pytest.raises(AuditWriteFailed) as failed:
        log.write(b"lost")
    assert failed.value.code == "EACCES"
    log.write(b"two")
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_write_to_a_closed_log_fails_and_creates_no_file(path: Path, clock: FakeClock) -> None:
    log = FileAuditLog(path, clock)
    log.close()
    log.close()
    path.unlink()
    clock.advance(1)
    with pytest.raises(AuditWriteFailed):
        log.write(b"late")
    assert not path.exists()


def test_a_rotation_under_load_neither_loses_nor_doubles_a_line(
    log: FileAuditLog, path: Path, clock: FakeClock
) -> None:
    threads, lines, rotations = 4, 2000, 20
    written = threading.Semaphore(0)

    def write(thread: int) -> None:
        for number in range(lines):
            log.write(f"{thread} {number}".encode())
            written.release()

    with ThreadPoolExecutor(threads) as pool:
        writers = [pool.submit(write, thread) for thread in range(threads)]
        for rotation in range(rotations):
            for _ in range(threads * lines // rotations // 2):
                written.acquire()
            path.rename(path.with_suffix(f".{rotation}"))
            clock.advance(1)
            if rotation % 2:
                log.reopen()
            else:
                log.write(b"rotated")  # so that the next rotation finds a file
        for writer in writers:
            writer.result()
    files = [path, *path.parent.glob("audit.*[0-9]")]
    found = [line for file in files for line in file.read_text().splitlines() if line != "rotated"]
    expected = [f"{thread} {number}" for thread in range(threads) for number in range(lines)]
    assert len(files) == rotations + 1
    assert sorted(found) == sorted(expected)


def test_two_processes_append_whole_lines_to_one_file(path: Path) -> None:
    command = [sys.executable, "-c", _APPENDING, str(path)]
    processes = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in ("first", "second")
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    expected = [
        f"{name} {number} {'x' * (number * 37 % 9000)}" for name in ("first", "second") for number in range(500)
    ]
    assert sorted(path.read_text().splitlines()) == sorted(expected)
