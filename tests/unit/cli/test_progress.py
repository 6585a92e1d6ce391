"""The progress output of a command."""

import io
import sys

import pytest
from tests.fakes.clock import FakeClock

from tokend_server.cli.progress import progress_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_a_file_gets_a_line_for_each_tenth(clock: FakeClock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_of("copying", clock, 20_000) as progress:
        for count in (500, 2000, 3999, 6000, 20_000, 20_000):
            clock.advance(1)
            progress(count)
    assert capsys.readouterr().err.splitlines() == [
        "copying: 2,000 of 20,000, 1,000/s, 18 s left",
        "copying: 6,000 of 20,000, 1,500/s, 9 s left",
        "copying: 20,000 of 20,000, 4,000/s, 0 s left",
    ]


def test_a_terminal_gets_a_bar_with_the_rate(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with progress_of("copying", clock, 20_000) as progress:
        clock.advance(2)
        progress(5000)
        progress(5000)
    shown = terminal.getvalue().split("\r")
    assert "copying  [#########---------------------------]  5000/20000  2,500/s" in shown[-1]


def test_a_count_above_the_total_is_shown(clock: FakeClock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_of("copying", clock, 10) as progress:
        clock.advance(1)
        progress(15)
    assert capsys.readouterr().err == "copying: 15 of 10, 15/s, 0 s left\n"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_total_of_zero_is_no_error(clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal() if is_terminal else io.StringIO())
    with progress_of("copying", clock, 0) as progress:
        progress(0)


def test_without_standard_error_nothing_is_shown(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with progress_of("copying", clock, 10) as progress:
        progress(10)
