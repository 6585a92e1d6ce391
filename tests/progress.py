"""Shows the progress of a test run: a line per finished file, with the running files and the remaining tests."""

import time
from collections import Counter
from collections.abc import Callable, Generator

import pytest


class Progress:
    """Counts the tests of a run by their files.

    Args:
        left: The number of remaining tests of each file.
        write: Writes a line.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, left: Counter[str], write: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._left = left
        self._write = write
        self._clock = clock
        self._all = self._to_come = left.total()
        self._begun: dict[str, float] = {}
        self._failed: Counter[str] = Counter()

    def begin(self, file: str) -> None:
        """Records that a test of the file has started."""
        if file not in self._begun:
            self._begun[file] = self._clock()

    def fail(self, test: str) -> None:
        """Records that a test has failed, and shows it at once."""
        self._failed[_file(test)] += 1
        self._write(f"FAILED {test}")

    def end(self, file: str) -> None:
        """Records that a test of the file has ended."""
        self._to_come -= 1
        self._left[file] -= 1
        if self._left[file] == 0:
            self._write(self._line(file))

    def _line(self, file: str) -> str:
        seconds = self._clock() - self._begun.pop(file)
        failed = f", {self._failed[file]} failed" if self._failed[file] else ""
        running = f"; running: {', '.join(self._begun)}" if self._begun else ""
        return f"[{self._all - self._to_come}/{self._all}] {file}: {seconds:.0f} s{failed}{running}"


class ProgressReporter:
    """A plugin that reports pytest's events to a `Progress`, in the main process of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._progress: Progress | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._start([item.nodeid for item in session.items])

    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        if self._progress is None:
            self._start(ids)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self._progress:
            self._progress.begin(_file(nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self._progress and report.failed:
            self._progress.fail(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        if self._progress:
            self._progress.end(_file(nodeid))

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self) -> Generator[None, tuple[str, str, str], tuple[str, str, str]]:
        """Omits pytest's progress letters."""
        category, _, word = yield
        return category, "", word

    def _start(self, tests: list[str]) -> None:
        if tests:
            terminal: pytest.TerminalReporter | None = self._config.pluginmanager.get_plugin("terminalreporter")
            assert terminal is not None
            self._progress = Progress(Counter(map(_file, tests)), terminal.write_line, time.monotonic)


def _file(test: str) -> str:
    return test.partition("::")[0]
