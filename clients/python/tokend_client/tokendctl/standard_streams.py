"""The standard streams of a command: closed, full, or a pipe whose reader has gone."""

import os
import sys
from contextlib import suppress

from tokend_client.tokendctl.errors import CommandFailed
from tokend_client.tokendctl.exit_codes import ExitCode


def check_output() -> None:
    """Makes sure that there is a standard output.

    Raises:
        CommandFailed: It is closed.
    """
    if sys.stdout is None:
        raise CommandFailed("cannot write the output: standard output is closed", ExitCode.OTHER)


def write_output(text: str) -> None:
    """Writes to standard output, whole.

    Raises:
        CommandFailed: It cannot be written; without a text where it is a pipe that nothing reads.
    """
    check_output()
    try:
        # As bytes, since JSON is UTF-8 (RFC 8259, section 8.1) whatever the locale says.
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
    except OSError as error:
        # Else Python would try again at its end, and show how.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        raise CommandFailed(
            "" if isinstance(error, BrokenPipeError) else f"cannot write the output: {error.strerror}", ExitCode.OTHER
        ) from None


def write_error(text: str) -> None:
    """Writes a line to standard error, if it can be written."""
    with suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(f"{text}\n")
