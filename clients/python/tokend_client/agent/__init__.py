"""tokend-agent: keeps fresh tokens in files, for any process that can read a file."""

import gc
import os
import signal
import sys
from types import FrameType

from tokend_client.tokendctl.exit_codes import ExitCode

#: Modules of the extra `agent`.
_EXTRA = {"prometheus_client", "pydantic"}


def main() -> None:
    """Runs tokend-agent with the arguments of the process, and exits."""
    if os.getpid() == 1:
        # The first process of a container receives only signals that it handles (pid_namespaces(7)).
        signal.signal(signal.SIGTERM, _end)
    # Collections while modules are loaded, and of loaded modules at the exit, take a quarter of a short command's time.
    gc.disable()
    try:
        from tokend_client.agent.commands import run  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write("tokend-agent needs the extra `agent`: pip install 'tokend-client[agent]'\n")
        sys.exit(ExitCode.CONFIGURATION)
    gc.freeze()
    gc.enable()
    sys.exit(run(sys.argv[1:]))


def _end(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)
