"""Output to standard streams that may be closed, full, or a pipe without a reader."""

import os
import sys
from contextlib import suppress

from tokend_client.tokendctl.errors import CommandFailed
from tokend_client.tokendctl.exit_codes import ExitCode


def check_output() -> None:
    """Checks that standard output is open.

    Raises:
        CommandFailed: It is closed.
    """
    if sys.stdout is None:
        raise CommandFailed("cannot write the output: standard output is closed", ExitCode.OTHER)


def write_output(text: str) -> None:
    """Writes a whole text to standard output.

    Raises:
        CommandFailed: The write failed; without a text if standard output is a pipe without a reader.
    """
    check_output()
    try:
        # As bytes, since JSON is UTF-8 (RFC 8259, section 8.1) regardless of the locale.
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
    except OSError as error:
        # Otherwise Python would retry at exit, and print an error.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        raise CommandFailed(
            "" if isinstance(error, BrokenPipeError) else f"cannot write the output: {error.strerror}", ExitCode.OTHER
        ) from None


def write_error(text: str) -> None:
    """Writes a line to standard error, if it can be written."""
    with suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(f"{text}\n")
