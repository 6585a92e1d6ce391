"""The commands of `tokend`, in the process of the test, which saves a second of loading, or in a separate one."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from unittest import mock

from tests.support.environment import environment_of
from tests.support.preloaded import fork

from tokend_server import cli

Ended = subprocess.CompletedProcess[str]

_TIMEOUT = 120

#: Commands that need a separate process, since they set signals and the log of their process.
_SEPARATE_PROCESS_COMMANDS = frozenset({"quickstart", "serve"})


class _Output(io.StringIO):
    """A text stream that is readable after a command has closed it."""

    def close(self) -> None:
        pass


def run(*words: str, **environment: str) -> Ended:
    """Runs a command to its end, with the given variables in addition to those of the process."""
    return run_in(os.environ | environment, *words)


def run_in(environment: Mapping[str, str], *words: str) -> Ended:
    """Runs a command to its end, with only these variables."""
    if not _SEPARATE_PROCESS_COMMANDS.isdisjoint(words):
        return _run_forked(environment, words)
    stdout, stderr = _Output(), _Output()
    with (
        environment_of(environment),
        mock.patch.object(sys, "argv", ["tokend", *words]),
        mock.patch.object(cli, "exit_immediately", sys.exit),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            return subprocess.CompletedProcess(words, _exit_code(ended), stdout.getvalue(), stderr.getvalue())
    raise AssertionError("a command ends by an exit")


def start(*words: str, under: Sequence[str] = (), **environment: str) -> subprocess.Popen[str]:
    """Starts a command in a separate process, under another command if one is given."""
    return _started(os.environ | environment, words, under)


def _started(
    environment: Mapping[str, str], words: Sequence[str], under: Sequence[str] = ()
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*under, sys.executable, "-m", "tokend_server", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        encoding="utf-8",
    )


def _run_forked(environment: Mapping[str, str], words: Sequence[str]) -> Ended:
    with TemporaryFile("w+", encoding="utf-8") as out, TemporaryFile("w+", encoding="utf-8") as err:
        process = fork("tokend_server", words, environment, Path.cwd(), err.fileno(), out.fileno())
        try:
            code = process.wait(_TIMEOUT)
        finally:
            process.kill()
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(words, code, out.read(), err.read())


def end(process: subprocess.Popen[str]) -> Ended:
    """Waits until a process ends."""
    try:
        out, err = process.communicate(timeout=_TIMEOUT)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def printed(ended: Ended) -> Any:  # noqa: ANN401 - whatever JSON it is
    """Returns the output of a finished command."""
    assert (ended.stderr, ended.returncode) == ("", 0)
    return json.loads(ended.stdout)


def refused(ended: Ended) -> str:
    """Returns the error output of a failed command."""
    assert (ended.stdout, ended.returncode) == ("", 1)
    assert "Traceback" not in ended.stderr
    return ended.stderr


def done(*words: str) -> Any:  # noqa: ANN401 - whatever JSON it prints
    """Runs a command that must succeed, and returns its output."""
    return printed(run(*words))


def failed(*words: str, **environment: str) -> str:
    """Runs a command that must fail, and returns its error output."""
    return refused(run(*words, **environment))


def _exit_code(end: SystemExit) -> int:
    assert end.code is None or isinstance(end.code, int)
    return end.code or 0
