from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.machine_cache import cached_build, cached_program


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Maker:
    """Makes a directory with the number of attempts."""

    def __init__(self, failures: int = 0) -> None:
        self.attempts = 0
        self._failures = failures

    def __call__(self, directory: Path) -> None:
        self.attempts += 1
        (directory / "attempt").write_text(str(self.attempts), encoding="utf-8")
        if self.attempts <= self._failures:
            raise OSError("not reachable")


def test_a_second_user_waits_for_the_program_of_the_first() -> None:
    second = Maker()
    with ThreadPoolExecutor(1) as pool:
        waiting: list[Future[Path]] = []

        def make(directory: Path) -> None:
            waiting.append(pool.submit(cached_program, "tool-1", "tool", second))
            with pytest.raises(TimeoutError):
                waiting[0].result(timeout=0.2)
            (directory / "tool").touch()

        program = cached_program("tool-1", "tool", make)
        assert waiting[0].result() == program
    assert second.attempts == 0


def test_a_program_whose_creation_failed_is_created_again() -> None:
    make = Maker(failures=1)
    with pytest.raises(OSError, match="not reachable"):
        cached_program("tool-1", "attempt", make)
    assert cached_program("tool-1", "attempt", make).read_text(encoding="utf-8") == "2"


def test_a_removed_program_is_created_again() -> None:
    make = Maker()
    program = cached_program("tool-1", "attempt", make)
    (program.parent / "rest").touch()
    program.unlink()
    assert [path.name for path in cached_program("tool-1", "attempt", make).parent.iterdir()] == ["attempt"]
    assert make.attempts == 2


def test_each_version_has_its_own_directory() -> None:
    assert cached_program("tool-1", "attempt", Maker()) != cached_program("tool-2", "attempt", Maker())


def test_a_changed_project_is_built_again(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    source = project / "src" / "main"
    build = Maker()
    built = []
    for text in ("one", "two", "one"):
        source.write_text(text, encoding="utf-8")
        built.append(cached_build("program", project, [source], build, Path.exists))
    assert built[0] == built[2] != built[1]
    assert build.attempts == 2
    assert (built[1] / "src" / "main").read_text(encoding="utf-8") == "two"
