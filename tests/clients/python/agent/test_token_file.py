"""The file itself: complete or unchanged, regardless of the disk, the mount and other processes."""

import os
import resource
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import pytest
from tests.support.other_users import UNPRIVILEGED

from tokend_client.agent import directories
from tokend_client.agent.configuration import TokenSettings
from tokend_client.agent.token_file import FileProblem, HeldByAnother, TokenFile

LAYOUTS = ["file", "projected"]

each_layout = pytest.mark.parametrize("layout", LAYOUTS)

#: New processes instead of forks of this one: gRPC's fork handlers sometimes abort a child that is forked during calls.
PROCESSES = get_context("spawn")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone may give files away")


def token_file(directory: Path, **changes: object) -> TokenFile:
    table = {"name": "orders", "file": str(directory / "token"), "identity_pool_id": "local:1", "logins": {"a": "b"}}
    return TokenFile(TokenSettings.model_validate(table | changes), lambda: 1_800_000_000.0)


def run(case: Callable[..., None], *arguments: object) -> None:
    """Runs a case in a new process, without waiting for its children."""
    process = PROCESSES.Process(target=case, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0


def wait_for_end(end: Connection) -> NoReturn:
    """Ends this process when the other end is closed."""
    with suppress(EOFError):
        end.recv()
    os._exit(0)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@each_layout
def test_mode_and_content_are_set_before_the_rename(
    directory: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records the file's content after each rename."""
    file = token_file(directory, layout=layout, mode="0640")
    seen = []
    rename = directories.rename

    def spied(descriptor: int, name: str, new_name: str) -> None:
        rename(descriptor, name, new_name)
        path = directory / "token"
        if path.exists():
            seen.append((path.read_bytes(), path.stat().st_mode & 0o7777))

    monkeypatch.setattr(directories, "rename", spied)
    os.umask(os.umask(0o077))
    file.claim()
    for content in (b"one", b"two"):
        file.write(content)
    assert [each for each in seen if each[0] == b"one"]
    assert set(seen) == {(b"one", 0o640), (b"two", 0o640)}


@as_root
@each_layout
def test_owner_and_group_are_those_of_the_settings(directory: Path, layout: str) -> None:
    file = token_file(directory, layout=layout, owner=12_345, group=23_456)
    file.claim()
    file.write(b"one")
    status = (directory / "token").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (12_345, 23_456, 0o600)


@each_layout
def test_a_reader_finds_a_whole_token_at_any_time(directory: Path, layout: str) -> None:
    file = token_file(directory, layout=layout)
    file.claim()
    contents = [bytes([letter]) * 20_000 for letter in b"ab"]
    file.write(contents[0])
    done = threading.Event()
    torn: list[object] = []
    reads = begun = 0

    def read() -> None:
        nonlocal reads
        while not done.is_set():
            before = begun
            try:
                found = (directory / "token").read_bytes()
            except OSError as error:
                # A projected directory stays until the change after the next one, for slow readers.
                if layout == "file" or begun == before:
                    torn.append(error)
            else:
                reads += 1
                if found not in contents:
                    torn.append(len(found))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(50):
        begun = number
        file.write(contents[number % 2])
    done.set()
    reader.join()
    assert torn == []
    assert reads


@each_layout
@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_content_that_does_not_fit_leaves_the_one_before(directory: Path, layout: str, size: int) -> None:
    file = token_file(directory, layout=layout)
    file.claim()
    file.write(b"before")
    names = sorted(path.name for path in directory.iterdir())
    with file_size_limit(size), pytest.raises(FileProblem, match="RLIMIT_FSIZE") as caught:
        file.write(b"x" * 1000)
    assert caught.value.cause == "EFBIG"
    assert (directory / "token").read_bytes() == b"before"
    assert sorted(path.name for path in directory.iterdir()) == names
    file.write(b"after")
    assert (directory / "token").read_bytes() == b"after"


@each_layout
def test_the_longest_name_can_be_written(directory: Path, layout: str) -> None:
    path = directory / ("n" * 243)
    file = token_file(directory, layout=layout, file=str(path))
    file.claim()
    for content in (b"one", b"two"):
        file.write(content)
    assert path.read_bytes() == b"two"


def test_a_projected_directory_is_as_kubernetes_makes_it(directory: Path) -> None:
    file = token_file(directory, layout="projected")
    file.claim()
    for content in (b"one", b"two", b"three"):
        file.write(content)
    assert (directory / "token").readlink() == Path("..data/token")
    version = str((directory / "..data").readlink())
    assert version.startswith("..2027_01_15_08_00_00.")
    assert (directory / version / "token").read_bytes() == b"three"
    (before,) = (path for path in directory.glob("..2*") if path.name != version)
    assert (before / "token").read_bytes() == b"two", "for readers that have already resolved the link"
    assert (directory / version).stat().st_mode & 0o777 == 0o755


def test_no_other_may_ever_write_into_a_projected_directory(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    fchmod = os.fchmod

    def spied(descriptor: int, mode: int) -> None:
        seen.append(os.fstat(descriptor).st_mode & 0o777)
        fchmod(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", spied)
    file = token_file(directory, layout="projected")
    file.claim()
    before = os.umask(0)
    try:
        file.write(b"one")
    finally:
        os.umask(before)
    assert seen == [0o700, 0o600]


def test_a_projected_directory_is_cleaned_of_what_a_killed_agent_has_left(directory: Path) -> None:
    file = token_file(directory, layout="projected")
    file.claim()
    file.write(b"one")
    file.release()
    half = directory / "..2026_01_01_00_00_00.1"
    half.mkdir()
    (half / "token").write_bytes(b"half")
    file.claim()
    assert not half.exists()
    assert file.read() == b"one"


def test_a_failed_write_leaves_no_files_in_a_projected_directory(directory: Path) -> None:
    (directory / "..data").mkdir()
    file = token_file(directory, layout="projected")
    file.claim()
    with pytest.raises(FileProblem, match="a directory is in the way"):
        file.write(b"one")
    assert sorted(path.name for path in directory.iterdir()) == ["..data", ".token.lock"]


def test_a_file_becomes_a_projected_one_and_back(directory: Path) -> None:
    for layout in (*LAYOUTS, *LAYOUTS):
        file = token_file(directory, layout=layout)
        file.claim()
        file.write(layout.encode())
        assert (directory / "token").read_text(encoding="ascii") == layout
        file.release()


@each_layout
def test_symbolic_links_at_the_target_are_not_followed(
    directory: Path, tmp_path_factory: pytest.TempPathFactory, layout: str
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "file"
    elsewhere.write_bytes(b"mine")
    for name in (".token.unfinished", "token", "..data_tmp"):
        (directory / name).symlink_to(elsewhere)
    file = token_file(directory, layout=layout)
    file.claim()
    file.write(b"one")
    assert (directory / "token").read_bytes() == b"one"
    assert elsewhere.read_bytes() == b"mine"


def test_a_link_instead_of_the_lock_is_refused(directory: Path) -> None:
    (directory / ".token.lock").symlink_to(directory / "other")
    with pytest.raises(FileProblem):
        token_file(directory).claim()
    assert not (directory / "other").exists()


def test_one_process_at_a_time_has_the_file(directory: Path) -> None:
    one, other = token_file(directory), token_file(directory)
    assert one.claim()
    assert not one.claim()
    with pytest.raises(HeldByAnother):
        other.claim()
    one.release()
    assert other.claim()
    with pytest.raises(HeldByAnother):
        one.claim()


def test_a_lock_that_was_deleted_is_made_once_more(directory: Path) -> None:
    one, other = token_file(directory), token_file(directory)
    one.claim()
    (directory / ".token.lock").unlink()
    assert one.claim()
    with pytest.raises(HeldByAnother):
        other.claim()


def test_a_forked_child_does_not_keep_the_lock_of_a_parent_that_has_died(directory: Path) -> None:
    end, ending = PROCESSES.Pipe(duplex=False)
    run(claim_fork_and_die, directory, end)
    with end, ending:
        assert token_file(directory).claim()


def claim_fork_and_die(directory: Path, end: Connection) -> None:
    file = token_file(directory)
    file.claim()
    forked, child_forked = os.pipe()
    if os.fork() == 0:
        os.write(child_forked, b"x")
        wait_for_end(end)
    os.read(forked, 1)


def test_a_released_file_can_be_claimed_despite_child_processes(directory: Path) -> None:
    end, ending = PROCESSES.Pipe(duplex=False)
    with end, ending:
        run(claim_fork_and_release, directory, end)


def claim_fork_and_release(directory: Path, end: Connection) -> None:
    one, other = token_file(directory), token_file(directory)
    one.claim()
    if os.fork() == 0:
        wait_for_end(end)
    with pytest.raises(HeldByAnother):
        other.claim()
    one.release()
    assert other.claim()


@pytest.mark.parametrize(
    ("name", "advice"),
    [("none/token", "create the directory"), ("file/token", "a parent is not a directory")],
)
def test_an_impossible_path_is_reported_with_advice(directory: Path, name: str, advice: str) -> None:
    (directory / "file").touch()
    with pytest.raises(FileProblem, match=advice):
        token_file(directory, file=str(directory / name)).claim()


def test_a_pipe_at_the_target_does_not_block(directory: Path) -> None:
    os.mkfifo(directory / "token")
    file = token_file(directory)
    file.claim()
    assert file.read() is None
    file.write(b"one")
    assert file.read() == b"one"


@each_layout
@pytest.mark.parametrize("name", ["null", "stdout"])
def test_no_token_takes_the_place_of_a_device_or_a_standard_stream(directory: Path, layout: str, name: str) -> None:
    os.mknod(directory / "null", stat.S_IFCHR | 0o600, os.makedev(0, 0))  # the only one that needs no privileges
    (directory / "stdout").symlink_to("/proc/self/fd/1")
    before = (directory / name).lstat().st_ino
    file = token_file(directory, layout=layout, file=str(directory / name))
    file.claim()
    with pytest.raises(FileProblem, match=f"{name}: is a device or a standard stream"):
        file.write(b"one")
    assert (directory / name).lstat().st_ino == before


@as_root
def test_a_user_who_may_not_chown_gets_an_error_and_no_file() -> None:
    """As another user, in that user's directory: the file is not written with the wrong owner."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        os.chown(directory, UNPRIVILEGED, UNPRIVILEGED)
        run(write_unprivileged, directory)
        assert [path.name for path in directory.iterdir()] == [".token.lock"]


def write_unprivileged(directory: Path) -> None:
    os.setgroups([])
    os.setgid(UNPRIVILEGED)
    os.setuid(UNPRIVILEGED)
    file = token_file(directory, owner=0)
    file.claim()
    with pytest.raises(FileProblem, match="CAP_CHOWN"):
        file.write(b"one")
