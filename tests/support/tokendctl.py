"""tokendctl in the process of the test."""

import io
import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

from tests.support.environment import environment_of

from tokend_client.tokendctl.commands import run


@dataclass(frozen=True)
class Ended:
    stdout: str
    stderr: str
    exit_code: int


def run_tokendctl(words: Sequence[str], environment: Mapping[str, str] | None = None) -> Ended:
    """Runs a command line to its end, with the given variables in addition to those of the process."""
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")  # its encoding must not matter
    stderr = io.StringIO()
    with environment_of(os.environ | (environment or {})), redirect_stdout(stdout), redirect_stderr(stderr):
        exit_code = run(words)
    stdout.seek(0)
    return Ended(stdout.buffer.read().decode(), stderr.getvalue(), exit_code)
