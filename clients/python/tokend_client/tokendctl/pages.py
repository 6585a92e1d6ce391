"""The help pages."""

import textwrap
from collections.abc import Iterable, Sequence

from tokend_client.tokendctl.exit_codes import MEANINGS
from tokend_client.tokendctl.kinds import StringMap
from tokend_client.tokendctl.operations import Member, Operation
from tokend_client.tokendctl.options import OPTIONS, Option
from tokend_client.tokendctl.skeleton import SKELETONS

_WIDTH = 100

_SECRETS = """\
Logins and the printed tokens are secrets. Anyone who has a token can act as the user until it expires, so keep its
duration short. Other users of the machine see command lines in process lists, and shells write them to their history:
pass secrets in files, or by standard input with file:///dev/stdin. Send the output only where tokens may be stored."""

_FILES = """\
The value of each parameter, and of --query, may be file://PATH for the text in a file, or fileb://PATH for the text
exactly as it is. In shorthand, KEY@=file://PATH is one value from a file. A newline at the end of a file is part of
the value."""


def general_page(operations: Sequence[Operation]) -> str:
    """Returns the page of tokendctl."""
    return _page(
        _section("NAME", ["tokendctl - calls a tokend service as `aws cognito-identity` calls Amazon Cognito"]),
        _section("SYNOPSIS", ["tokendctl [options] COMMAND [parameters]", "tokendctl help", "tokendctl COMMAND help"]),
        _section("COMMANDS", [line for each in operations for line in _item(each.command, each.text)]),
        _section("OPTIONS", _options()),
        _section("SECRETS", _paragraph(_SECRETS)),
        _section("EXIT CODES", _exit_codes()),
    )


def operation_page(operation: Operation) -> str:
    """Returns the page of a command."""
    members = [line for member in operation.members for line in _member(member)]
    outputs = [line for each in operation.outputs for line in _item(each.name, each.text)]
    return _page(
        _section("NAME", [operation.command]),
        _section("DESCRIPTION", _paragraph(operation.text)),
        _section("SYNOPSIS", _synopsis(operation)),
        _section("PARAMETERS", [*members, *_input()]),
        _section("FILES", _paragraph(_FILES)),
        _section("OPTIONS", _options()),
        _section("OUTPUT", outputs or ["None."]),
        _section("SECRETS", _paragraph(_SECRETS)),
        _section("EXIT CODES", _exit_codes()),
    )


def _synopsis(operation: Operation) -> list[str]:
    options = [f"{member.option} <value>" for member in operation.members]
    members = zip(options, operation.members, strict=True)
    return [
        f"tokendctl {operation.command}",
        *(f"  {text}" if member.required else f"  [{text}]" for text, member in members),
        "  [--cli-input-json <value> | --cli-input-yaml <value>]",
        f"  [--generate-cli-skeleton [{' | '.join(SKELETONS)}]]",
        "  [options]",
    ]


def _member(member: Member) -> list[str]:
    kind = member.kind
    texts = [f"{member.text} Limits: {kind.limits}."]
    texts += ["Required."] if member.required else []
    texts += [f"Default: {member.default}."] if member.default else []
    lines = _item(f"{member.option} ({kind.name})", " ".join(texts))
    if isinstance(kind, StringMap):
        lines += ["    Shorthand syntax:  KeyName1=string,KeyName2=string"]
        lines += ['    JSON syntax:       {"KeyName1": "string", "KeyName2": "string"}']
    return lines


def _input() -> list[str]:
    skeletons = "; ".join(f"{name}: {text}" for name, text in SKELETONS.items())
    return [
        *_item("--cli-input-json (string)", "The whole input as JSON. Options replace whole members of it."),
        *_item("--cli-input-yaml (string)", "The whole input as YAML. Options replace whole members of it."),
        *_item("--generate-cli-skeleton (string)", f"Prints a sample and calls nothing. {skeletons}. Default: input."),
    ]


def _options() -> list[str]:
    return [line for option in OPTIONS for line in _item(_title(option), _describe(option))]


def _title(option: Option) -> str:
    return ", ".join(option.names) + (f" {option.value}" if option.value else "")


def _describe(option: Option) -> str:
    environment = f"{option.variable}, else " if option.variable else ""
    return option.text + (f" Default: {environment}{option.default}." if option.default else "")


def _exit_codes() -> list[str]:
    return [f"{code:>3}  {text}" for code, text in MEANINGS.items()]


def _item(title: str, text: str) -> list[str]:
    return [title, *textwrap.wrap(text, _WIDTH, initial_indent="    ", subsequent_indent="    ")]


def _paragraph(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH)


def _section(title: str, lines: Iterable[str]) -> str:
    return "\n".join([title, *(f"    {line}" for line in lines)])


def _page(*sections: str) -> str:
    return "\n\n".join(sections) + "\n"
