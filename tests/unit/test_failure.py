import sys

import click
import pytest

from tokend_server import cli
from tokend_server.cli.failure import error_lines


def test_a_defect_is_reported_by_its_kind_and_place_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def failing() -> None:
        raise KeyError("hunter2")

    monkeypatch.setattr(cli, "tokend", failing)
    monkeypatch.setattr("sys.argv", ["tokend"])
    monkeypatch.setattr(cli, "exit_immediately", sys.exit)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("internal error: KeyError at test_failure.py:")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FileNotFoundError(2, "No such file or directory", "/nowhere"), "/nowhere: No such file or directory"),
        (OSError(24, "Too many open files"), "the system refuses: Too many open files"),
    ],
)
def test_an_error_of_the_system_is_reported_with_its_place(error: OSError, expected: str) -> None:
    assert list(error_lines(error)) == [expected]
