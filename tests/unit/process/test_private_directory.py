"""The removal of killed processes' directories, and of no others."""

import os
import tempfile
from pathlib import Path

import pytest

from tokend_server.process.private_directory import private_directory

PREFIX = "tokend-test-"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(name: str, *, lock: str = "lock") -> Path:
    """A directory of a killed process."""
    directory = Path(tempfile.gettempdir(), name)
    (directory / "keys").mkdir(parents=True)
    (directory / lock).touch()
    return directory


def test_the_directory_is_private_and_removed_at_the_end(temporary: Path) -> None:
    with private_directory(PREFIX) as directory:
        assert directory.parent == temporary
        assert directory.stat().st_mode & 0o777 == 0o700
        (directory / "key").touch()
    assert [*temporary.iterdir()] == []


def test_directories_of_killed_processes_are_removed(temporary: Path) -> None:
    left(f"{PREFIX}a")
    left(f"{PREFIX}b")
    with private_directory(PREFIX) as directory:
        assert [*temporary.iterdir()] == [directory]


def test_directories_of_running_processes_are_not_removed(temporary: Path) -> None:
    with private_directory(PREFIX) as first:
        with private_directory(PREFIX) as second:
            assert {*temporary.iterdir()} == {first, second}
        assert [*temporary.iterdir()] == [first]
        assert (first / "lock").exists()


def test_unknown_directories_are_not_removed(temporary: Path) -> None:
    elsewhere, linked = left("elsewhere"), left("linked")
    (temporary / f"{PREFIX}link").symlink_to(linked)
    begun = left(f"{PREFIX}begun", lock="lock.new")
    tricked = left(f"{PREFIX}tricked", lock="other")
    (tricked / "lock").symlink_to(tricked / "other")
    (temporary / f"{PREFIX}file").touch()
    before = {*temporary.iterdir()}
    with private_directory(PREFIX) as directory:
        assert {*temporary.iterdir()} == before | {directory}
    assert all((each / "keys").exists() for each in (elsewhere, linked, begun, tricked))


def test_directories_of_other_users_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, user = left(f"{PREFIX}theirs"), os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with private_directory(PREFIX):
        assert theirs.exists()
