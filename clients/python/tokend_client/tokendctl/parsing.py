"""Parses options by the rules of the AWS CLI, which also uses argparse."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from tokend_client.tokendctl.errors import InvalidInput
from tokend_client.tokendctl.operations import Operation
from tokend_client.tokendctl.options import OPTIONS, REFUSED

#: Options of the operations that are not members of their requests.
_CLI_INPUT = ("--cli-input-json", "--cli-input-yaml")


@dataclass(frozen=True, slots=True)
class Line:
    """A command line.

    Attributes:
        options: The options of all commands, as text.
        words: All other words: the command and its parameters.
    """

    options: argparse.Namespace
    words: list[str]


class _Parser(argparse.ArgumentParser):
    def __init__(self) -> None:
        super().__init__(prog="tokendctl", add_help=False, usage=argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        # argparse's messages contain values, which may be logins.
        message = re.sub(r"(?s)ignored explicit argument .*", "takes no value", message)
        raise InvalidInput(re.sub(r"(?s)(ambiguous option: [^=\s]*)=.*(?= could match)", r"\1", message))


def parse_line(arguments: Sequence[str]) -> Line:
    """Extracts the options of all commands from any position among the words.

    Raises:
        InvalidInput: An option lacks its value, or has an unexpected one.
    """
    parser = _Parser()
    for option in OPTIONS:
        option.add_to(parser)
    return Line(*parser.parse_known_args(list(arguments)))


def parse_operation(operation: Operation, words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Returns the options of an operation, and the problems of the other words.

    The options are strings: the members by their fields, and the options for input and skeletons.

    Raises:
        InvalidInput: An option lacks its value.
    """
    parser = _Parser()
    for member in operation.members:
        parser.add_argument(member.option)
    for name in _CLI_INPUT:
        parser.add_argument(name)
    parser.add_argument("--generate-cli-skeleton", nargs="?", const="input")
    options, rest = parser.parse_known_args(list(words))
    return options, _unknown(rest)


def unknown_options(words: Sequence[str]) -> list[str]:
    """Returns the problems of unknown options among the remaining words, without their values."""
    names = [word.partition("=")[0] for word in words]
    options = [name for name in names if re.fullmatch(r"--[a-z][a-z0-9-]*", name)]
    problems = [f"{name}: {REFUSED[name]}" for name in options if name in REFUSED]
    unknown = [name for name in options if name not in REFUSED]
    return [*problems, f"unknown options: {', '.join(unknown)}"] if unknown else problems


def _unknown(words: Sequence[str]) -> list[str]:
    if not words:
        return []
    # A word may be part of a login without quotes.
    return unknown_options(words) or [f"{len(words)} unexpected words: does the value of an option need quotes?"]
