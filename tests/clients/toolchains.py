"""Toolchains of other languages, which may not be installed, and runs of their tools."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[2]

#: Seconds for a build and its tests on a machine that must fetch all dependencies first.
BUILD_TIMEOUT = 1500

#: A short-lived Java process takes half the CPU time without the second compiler.
SHORT_LIVED_JVM = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]

_SHOWN_LINES = 150


def need(tool: str, what: str) -> str:
    """Returns the path of a tool. Without it, `what` is skipped, which is a failure in CI (CI=true)."""
    path = shutil.which(tool)
    if path is None:
        leave_out(f"{tool} is not installed, so {what} is left out")
    return path


def leave_out(reason: str) -> NoReturn:
    """Skips the test with a report; in CI, where no test may be skipped, fails it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; in CI nothing may be", pytrace=False)
    pytest.skip(reason)


def ended(
    command: list[str], directory: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
        timeout=BUILD_TIMEOUT,
    )


def run(command: list[str], directory: Path, environment: Mapping[str, str] | None = None) -> None:
    """Runs a command, and fails the test with its output if the command fails."""
    process = ended(command, directory, environment)
    if process.returncode:
        fail(command, process.stdout)


def fail(command: list[str], text: str) -> NoReturn:
    """Fails the test with the end of a command's output."""
    lines = text.splitlines()
    before = [f"... {len(lines) - _SHOWN_LINES} lines before"] if len(lines) > _SHOWN_LINES else []
    pytest.fail("\n".join([f"`{' '.join(command)}` failed:", *before, *lines[-_SHOWN_LINES:]]), pytrace=False)
