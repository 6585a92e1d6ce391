"""The load program, which makes calls with the Go client until its standard input ends."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.go_program import go_program

SOURCE = Path(__file__).parent / "load"


@dataclass(frozen=True)
class Report:
    """The results of the calls: their number, and the number of failures by error."""

    calls: int
    failures: Mapping[str, int]


class Load:
    """Makes calls while the `with` block runs; `end` returns the results.

    Args:
        program: The built program.
        options: Its options.
    """

    def __init__(self, program: Path, *options: str) -> None:
        self._command = [str(program), *options]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            self._process.kill()

    def wait_until_calling(self) -> None:
        """Waits until every caller has received a response."""
        assert self._process.stdout
        assert self._process.stdout.readline() == "calling\n"

    def end(self) -> Report:
        """Stops making calls, waits for those in flight, and returns the report."""
        printed, _ = self._process.communicate()
        return Report(**json.loads(printed))


def build(directory: Path) -> Path:
    """Builds the program; without Go the test is skipped."""
    return go_program(directory / "load", SOURCE, "the load by the Go client")
