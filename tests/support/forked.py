"""Cases of tests that need a process of their own: they count or use up what all threads of a process share."""

import os
from pathlib import Path

from tests.support.grpc_service import TIMEOUT
from tests.support.preloaded import fork


def run_forked(module: str, arguments: list[str], directory: Path) -> None:
    """Runs a module in a separate process, and fails with its standard error if it fails.

    Args:
        module: The module.
        arguments: Its command-line arguments.
        directory: A directory for its standard error.
    """
    with (directory / "stderr").open("w+", encoding="utf-8") as stderr:
        ended = fork(module, arguments, os.environ, Path.cwd(), stderr.fileno()).wait(TIMEOUT)
        stderr.seek(0)
        assert ended == 0, stderr.read()
