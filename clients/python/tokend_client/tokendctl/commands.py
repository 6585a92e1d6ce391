"""The commands, under the names of the AWS CLI."""

import argparse
import logging
import platform
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TypeVar

import grpc

from tokend_client.errors import TokendError
from tokend_client.tokendctl import cli_input, pages, skeleton
from tokend_client.tokendctl.connection import connect, endpoint_of
from tokend_client.tokendctl.errors import CommandFailed, InvalidInput
from tokend_client.tokendctl.exit_codes import ExitCode
from tokend_client.tokendctl.failure import to_command_failed
from tokend_client.tokendctl.operations import Document, Fields, Operation, operations
from tokend_client.tokendctl.options import Settings, parse_settings
from tokend_client.tokendctl.output import FORMATS
from tokend_client.tokendctl.parsing import Line, parse_line, parse_operation, unknown_options
from tokend_client.tokendctl.standard_streams import check_output, write_error, write_output

_Read = TypeVar("_Read")

_LOG = logging.getLogger(__name__)

_HELP = "help"


@dataclass(frozen=True, slots=True)
class _Request:
    """The fields of a call; with `sample`, the output is a sample and nothing is called."""

    fields: Fields
    sample: bool


def run(arguments: Sequence[str]) -> ExitCode:
    """Runs a command line, and writes failures to standard error."""
    try:
        check_output()  # before a call whose response would be lost
        write_output(_output(arguments))
    except InvalidInput as invalid:
        lines = ["the input cannot be used:", *invalid.problems, "See `tokendctl help`, `tokendctl COMMAND help`."]
        write_error("tokendctl: " + "\n  ".join(lines))
        return ExitCode.USAGE
    except CommandFailed as failed:
        if failed.text:
            write_error(failed.text)
        return failed.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.DONE


def _output(arguments: Sequence[str]) -> str:
    line = parse_line(arguments)
    if line.options.version:
        return _version() + "\n"
    commands = {operation.command: operation for operation in operations()}
    command, *words = _move_command_first(line.words, commands) or [_HELP if line.options.help else ""]
    if command == _HELP:
        return pages.general_page(list(commands.values()))
    if command not in commands:
        raise InvalidInput(f"expected a command: {', '.join(commands)}, {_HELP}", *unknown_options(line.words))
    if line.options.help or words == [_HELP]:
        return pages.operation_page(commands[command])
    with _debug_logging(enabled=line.options.debug):
        return _run(commands[command], line, words)


def _move_command_first(words: Sequence[str], commands: Collection[str]) -> Sequence[str]:
    """Moves the command before unknown options, which may precede it in a command line."""
    if not words or not words[0].startswith("-"):
        return words
    place = next((place for place, word in enumerate(words) if word in commands), 0)
    return [words[place], *words[:place], *words[place + 1 :]]


def _run(operation: Operation, line: Line, words: Sequence[str]) -> str:
    settings = _attempt(lambda: parse_settings(line.options))
    request = _attempt(lambda: _request(operation, words))
    problems = [p for each in (settings, request) if isinstance(each, InvalidInput) for p in each.problems]
    if isinstance(settings, InvalidInput) or isinstance(request, InvalidInput):
        raise InvalidInput(*problems)
    if isinstance(request, str):
        return request
    _check_region(settings, request.fields)
    document = skeleton.output_skeleton(operation) if request.sample else _call(operation, settings, request.fields)
    selected = document if settings.query is None else settings.query.search(document)
    return FORMATS[settings.output](operation.name, selected)


def _request(operation: Operation, words: Sequence[str]) -> _Request | str:
    """Returns the call to make, or the skeleton to print instead."""
    options, problems = parse_operation(operation, words)
    request = _attempt(lambda: _to_request(operation, options))
    if isinstance(request, InvalidInput):
        raise InvalidInput(*problems, *request.problems)
    if problems:
        raise InvalidInput(*problems)
    return request


def _to_request(operation: Operation, options: argparse.Namespace) -> _Request | str:
    wanted = options.generate_cli_skeleton
    if wanted is not None and wanted not in skeleton.SKELETONS:
        raise InvalidInput(f"--generate-cli-skeleton: expected one of {', '.join(skeleton.SKELETONS)}")
    if wanted == "input":
        return FORMATS["json"](operation.name, skeleton.input_skeleton(operation))
    if wanted == "yaml-input":
        return skeleton.yaml_input_skeleton(operation)
    given = cli_input.document(options.cli_input_json, options.cli_input_yaml)
    return _Request(cli_input.merge(operation.members, vars(options), given), sample=wanted == "output")


def _attempt(read: Callable[[], _Read]) -> _Read | InvalidInput:
    try:
        return read()
    except InvalidInput as invalid:
        return invalid


def _check_region(settings: Settings, fields: Fields) -> None:
    region, colon, _ = fields["identity_pool_id"].partition(":")
    if settings.region is not None and colon and settings.region != region:
        raise InvalidInput(f"--region: the identity pool is in {region!r}")


def _call(operation: Operation, settings: Settings, fields: Fields) -> Document:
    target = endpoint_of(settings.connection).target
    _LOG.debug("%s", _version())
    _LOG.debug("calling %s at %s with the members %s", operation.name, target, ", ".join(fields))
    began = time.monotonic()
    with connect(settings.connection) as client:
        try:
            return operation.call(client, fields)
        except TokendError as error:
            _LOG.debug("failed with %s, reason %s", error.code.name, error.reason)
            raise to_command_failed(operation.name, target, error) from None
        finally:
            _LOG.debug("the call took %.3f s", time.monotonic() - began)


def _version() -> str:
    system = f"{platform.system()}/{platform.release()}"
    return f"tokendctl/{version('tokend-client')} Python/{platform.python_version()} grpc/{grpc.__version__} {system}"


@contextmanager
def _debug_logging(*, enabled: bool) -> Iterator[None]:
    if not enabled:
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s - %(threadName)s - %(name)s - %(levelname)s - %(message)s"))
    logger = logging.getLogger("tokend_client")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
