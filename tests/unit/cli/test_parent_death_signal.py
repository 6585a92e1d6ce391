"""The program that executes a command: what it passes on, and its output."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tokend_server.cli import parent_death_signal

#: Prints its parent death signal: PR_GET_PDEATHSIG of prctl(2).
PRINT_SIGNAL = """
import ctypes
number = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(number))
print(number.value)
"""


def run(
    command: Sequence[str], parent: int | None = None, starting: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    words = [*starting, sys.executable, "-I", "-S", parent_death_signal.__file__, str(parent or os.getpid()), *command]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_the_command_gets_sigterm_when_its_parent_ends() -> None:
    assert run([sys.executable, "-c", PRINT_SIGNAL]).stdout == f"{signal.SIGTERM.value}\n"


@pytest.mark.parametrize(
    ("starting", "ignored"),
    [("--default-signal=INT", set()), ("--ignore-signal=INT", {signal.SIGINT})],
    ids=["at a terminal", "in the background of a shell"],
)
def test_the_command_ignores_only_signals_that_its_parent_ignores(starting: str, ignored: set[signal.Signals]) -> None:
    status = run(["grep", "SigIgn", "/proc/self/status"], starting=["env", starting]).stdout
    mask = int(status.split()[1], 16)
    of_interest = {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT}
    assert {number for number in of_interest if mask >> (number - 1) & 1} == ignored


def test_no_command_runs_if_the_parent_has_ended() -> None:
    ended = run(["echo", "here"], parent=-1)
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, "")


@pytest.mark.parametrize(
    ("name", "code", "why"),
    [
        ("no-such-command", 127, "No such file or directory"),
        ("/etc/passwd", 126, "Permission denied"),
        ("/etc/passwd/x", 126, "Not a directory"),
    ],
)
def test_a_command_that_cannot_be_run_is_named(name: str, code: int, why: str) -> None:
    ended = run([name])
    assert (ended.returncode, ended.stderr) == (code, f"Error: {name}: {why}\n")
