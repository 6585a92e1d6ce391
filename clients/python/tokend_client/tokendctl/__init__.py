"""tokendctl: the developer-identity operations of a tokend service, on the command line."""

import gc
import sys

from tokend_client.tokendctl.exit_codes import ExitCode

#: Modules of the extra `cli`.
_EXTRA = {"jmespath", "ruamel"}


def main() -> None:
    """Runs tokendctl with the arguments of the process, and exits."""
    # Collections while modules are loaded, and of loaded modules at the exit, take a quarter of a short command's time.
    gc.disable()
    try:
        from tokend_client.tokendctl.commands import run  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write("tokendctl needs the extra `cli`: pip install 'tokend-client[cli]'\n")
        sys.exit(ExitCode.CONFIGURATION)
    gc.freeze()
    gc.enable()
    sys.exit(run(sys.argv[1:]))
