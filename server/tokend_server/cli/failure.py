"""The errors of commands: a line for each problem, never a traceback."""

import io
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import click

from tokend_server.errors import ConfigError, TokendError
from tokend_server.library_parts import UnsupportedLibraryError

_STDIN, _STDOUT, _STDERR = range(3)


def open_missing_standard_streams() -> None:
    """Opens /dev/null in place of closed standard streams, so that no file or socket gets their numbers.

    Output to a closed standard output is lost, and the command fails.
    """
    closed = [number for number in (_STDIN, _STDOUT, _STDERR) if not _is_open(number)]
    for number in closed:
        # The system uses the lowest free number. Writes to a read-only descriptor fail.
        os.open(os.devnull, os.O_WRONLY if number == _STDERR else os.O_RDONLY)
        if number == _STDOUT:
            sys.stdout = open(_STDOUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - a descriptor


def use_utf_8_output() -> None:
    """Sets standard output to UTF-8, whatever the locale, as for JSON; undecodable file names are unchanged."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


def undecodable_arguments(arguments: Sequence[str]) -> list[int]:
    """Returns the positions, from 1, of arguments that are not in the locale's encoding."""
    return [number for number, argument in enumerate(arguments, start=1) if not _is_decodable(argument)]


def error_lines(error: Exception) -> Iterator[str]:
    """Yields the lines of a command's error for operators."""
    if isinstance(error, ConfigError):
        yield from (f"configuration: {problem}" for problem in error.problems)
    elif isinstance(error, TokendError):
        yield f"{error.text} {error.advice}".rstrip()
    elif isinstance(error, UnsupportedLibraryError):
        yield str(error)
    elif isinstance(error, OSError):
        yield f"{_source_of(error)}: {error.strerror or error}"
    else:
        # The text may contain arguments or secrets.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        yield f"internal error: {type(error).__qualname__} at {Path(frame.filename).name}:{frame.lineno}"


def discard_output() -> None:
    """Discards unwritten output, which Python would try to write again at its exit."""
    if sys.stdout is not None:
        with suppress(OSError, ValueError):
            sys.stdout.close()


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _is_decodable(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _source_of(error: OSError) -> str:
    if error.filename is not None:
        return str(error.filename)
    frames = traceback.extract_tb(error.__traceback__)
    return "standard output" if frames and frames[-1].name == click.echo.__name__ else "the system refuses"
