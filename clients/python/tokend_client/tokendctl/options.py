"""The options of all commands: those of the AWS CLI, and those of the connection."""

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tokend_client.tokendctl.endpoint import parse_target, parse_url
from tokend_client.tokendctl.errors import CommandFailed, InvalidInput
from tokend_client.tokendctl.exit_codes import ExitCode
from tokend_client.tokendctl.output import FORMATS
from tokend_client.tokendctl.query import Query

_MAX_TIMEOUT = 86_400.0


@dataclass(frozen=True, slots=True)
class Option:
    """An option of all commands.

    Attributes:
        names: Its name, then its aliases.
        text: Its description, for the help.
        value: The placeholder for its value in the help; a switch has none.
        read: Parses its value. Raises `InvalidInput`.
        default: Its default value.
        variable: The environment variable with its value, if the option is not given.
    """

    names: tuple[str, ...]
    text: str
    value: str = ""
    read: Callable[[str], object] = str
    default: str | None = None
    variable: str | None = None

    @property
    def field(self) -> str:
        """Its name in Python."""
        return self.names[0].removeprefix("--").replace("-", "_")

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Adds the option to a parser."""
        if self.value:
            parser.add_argument(*self.names, dest=self.field)
        else:
            parser.add_argument(*self.names, dest=self.field, action="store_true")


def _choice(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise InvalidInput(f"expected one of {', '.join(choices)}")
        return text

    return read


def _timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= _MAX_TIMEOUT:
        raise InvalidInput(f"expected a number of seconds above 0 and up to {_MAX_TIMEOUT:.0f}")
    return seconds


def _region(text: str) -> str:
    if not text:
        raise InvalidInput("empty")
    return text


#: Every option of all commands, in the order of the help.
OPTIONS: tuple[Option, ...] = (
    Option(
        ("--output",), "The format of the output.", "|".join(FORMATS), _choice(*FORMATS), "json", "AWS_DEFAULT_OUTPUT"
    ),
    Option(("--query",), "A JMESPath query over the output, before it is formatted.", "QUERY", Query),
    Option(("--region",), "The region of the identity pool: the part of its id before the colon.", "REGION", _region),
    Option(
        ("--endpoint",),
        "The address of the service: HOST:PORT or unix:PATH.",
        "ADDRESS",
        parse_target,
        "127.0.0.1:50051",
        "TOKEND_ENDPOINT",
    ),
    Option(("--endpoint-url",), "The same as http://HOST:PORT, or as https://HOST:PORT with TLS.", "URL", parse_url),
    Option(("--ca-file", "--ca-bundle"), "Use TLS, and trust the PEM certificates in this file.", "FILE", Path),
    Option(("--tls",), "Use TLS, and trust the certificates of the system."),
    Option(("--client-certificate-file",), "Use TLS with this PEM client certificate.", "FILE", Path),
    Option(("--client-key-file",), "The PEM key of that certificate.", "FILE", Path),
    Option(
        ("--bearer-token-file",), "Authenticate with the bearer token in this file, or in /dev/stdin.", "FILE", Path
    ),
    Option(
        ("--timeout",), "Timeout of the call in seconds, including connecting and retries.", "SECONDS", _timeout, "10"
    ),
    Option(("--debug",), "Write a log to standard error, without values of members and without tokens."),
    Option(("--color",), "Accepted; the output has no colours.", "on|off|auto", _choice("on", "off", "auto"), "auto"),
    Option(("--no-paginate",), "Accepted; a command makes one call and prints one page."),
    Option(("--no-cli-pager",), "Accepted; there is no pager."),
    Option(("--no-cli-auto-prompt",), "Accepted; there are no prompts."),
    Option(("--no-sign-request",), "Accepted; requests are not signed."),
    Option(("--version",), "Print the version."),
    Option(("--help",), "Print this page, like the word `help`."),
)

#: Options of the AWS CLI that tokendctl does not support, and alternatives.
REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "--profile": "there are no profiles; authenticate with --bearer-token-file or --client-certificate-file",
        "--no-verify-ssl": "certificates are always verified; set the trusted ones with --ca-file",
    }
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of the options of all commands."""

    output: str
    query: Query | None
    region: str | None
    connection: Mapping[str, Any]
    """The options of the connection, by their names in Python."""


def parse_settings(given: argparse.Namespace) -> Settings:
    """Parses the given options; others have the values of the environment, or their defaults.

    Raises:
        InvalidInput: With every invalid option.
        CommandFailed: An environment variable is invalid.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for option in OPTIONS:
        # A URL replaces the address, so that an invalid address in the environment does not matter.
        variable = None if option.field == "endpoint" and given.endpoint_url is not None else option.variable
        try:
            values[option.field] = _value(option, getattr(given, option.field), variable)
        except InvalidInput as invalid:
            problems += invalid.within(option.names[0]).problems
    if values.get("endpoint_url") is not None and given.endpoint is not None:
        problems.append("--endpoint and --endpoint-url exclude each other")
    if problems:
        raise InvalidInput(*problems)
    return Settings(values.pop("output"), values.pop("query"), values.pop("region"), values)


def _value(option: Option, given: Any, variable: str | None) -> object:  # noqa: ANN401 - text or, of a switch, a truth value
    if not option.value:
        return given
    if given is not None:
        return option.read(given)
    text = os.environ.get(variable) if variable else None
    if not text:
        return None if option.default is None else option.read(option.default)
    try:
        return option.read(text)
    except InvalidInput as invalid:
        raise CommandFailed(f"{variable}: {invalid}", ExitCode.CONFIGURATION) from None
