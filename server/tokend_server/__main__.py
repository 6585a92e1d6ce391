"""The entry point of the command `tokend`, which loads little before signals and gRPC are configured."""

import gc
import os
import signal
import sys

from tokend_server.library_parts import UnsupportedLibraryError
from tokend_server.process.private_memory import keep_memory_private
from tokend_server.process.signals import end_process_on


def main() -> None:
    """Runs the command line."""
    gc.disable()  # until the command is loaded, which makes many objects and hardly any garbage
    try:
        keep_memory_private()  # for all commands: most have private keys in memory at some time
    except OSError as error:
        sys.exit(f"the process cannot keep its memory private: {error.strerror}")
    # Ctrl-C ends it without a traceback, even while modules are loaded.
    end_process_on(signal.SIGINT)
    end_process_on(signal.SIGTERM)
    # Otherwise gRPC writes a line to standard error for each failed handshake, and an error for each call with invalid
    # metadata: any client could fill the disk with them. tokend logs the relevant errors itself. gRPC reads the
    # variable when it is loaded.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from tokend_server.cli import main as run  # noqa: PLC0415 - loads click, and then a command
    except UnsupportedLibraryError as error:
        sys.exit(str(error))
    run()


if __name__ == "__main__":
    main()
