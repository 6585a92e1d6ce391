"""The commands, under the names of the AWS CLI."""

import json
import sys
from contextlib import suppress
from functools import partial
from typing import IO, Any

import click

from tokend_client.client import TokendClient
from tokend_client.errors import TokendError
from tokend_client.tokendctl import cli_input
from tokend_client.tokendctl.connection import connect
from tokend_client.tokendctl.errors import InvalidInput
from tokend_client.tokendctl.failure import describe
from tokend_client.tokendctl.operations import Fields, Operation, Output, operations
from tokend_client.tokendctl.options import common_options, member_options


def main() -> None:
    """Runs tokendctl with the arguments of the process, and ends it.

    The exit code is 0 when the call is done, 1 when it failed or its output is lost, 2 for wrong usage.
    """
    try:
        tokendctl()(prog_name="tokendctl")
    except OSError as error:  # all but what click writes by itself, such as help, has its text where it arises
        with suppress(OSError):
            sys.stdout.close()  # else Python would try again at its end, and show how
        click.echo(f"Error: cannot write the output: {error.strerror}", err=True)
        sys.exit(1)


def tokendctl() -> click.Group:
    """The command line: one subcommand for each operation."""
    return click.Group(
        "tokendctl",
        commands=[_command(operation) for operation in operations()],
        help="Call a tokend service with the commands, options and output of `aws cognito-identity`.",
    )


class CallFailed(click.ClickException):
    """Raised when the service refuses a call or cannot be reached; its text is shown as it is."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.message, file=file, err=file is None)


class _Command(click.Command):
    """A command that does not repeat stray arguments: half of a badly quoted --logins is one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        if ctx.args:
            ctx.fail(f"Got {len(ctx.args)} unexpected extra argument(s). Is the value of an option in need of quotes?")
        return rest


def _command(operation: Operation) -> click.Command:
    return _Command(
        operation.command,
        params=[*member_options(operation), *common_options()],
        callback=partial(_run, operation),
        help=operation.text,
        short_help=operation.text,
        context_settings={"allow_extra_args": True},
    )


def _run(
    operation: Operation,
    *,
    cli_input_json: str | None,
    generate_cli_skeleton: bool,
    **options: Any,  # noqa: ANN401 - click hands over each option by its name
) -> None:
    if sys.stdout is None:
        raise click.ClickException("cannot write the output: standard output is closed")
    if generate_cli_skeleton:
        _print(cli_input.skeleton(operation.members))
        return
    members = {member.field: options.pop(member.field) for member in operation.members}
    fields = _input(operation, members, cli_input_json)
    with connect(**options) as client:
        output = _call(operation, client, fields)
    if output is not None:
        _print(output)


def _input(operation: Operation, options: dict[str, str | None], cli_input_json: str | None) -> Fields:
    try:
        return cli_input.merge(operation.members, options, cli_input_json)
    except InvalidInput as invalid:
        click.get_current_context().fail("\n  ".join(["the input cannot be used:", *invalid.problems]))


def _call(operation: Operation, client: TokendClient, fields: Fields) -> Output:
    try:
        return operation.call(client, fields)
    except TokendError as error:
        raise CallFailed(describe(error)) from None


def _print(document: object) -> None:
    try:
        # As bytes, since JSON is UTF-8 (RFC 8259, section 8.1) whatever the locale says.
        click.echo(json.dumps(document, indent=4, ensure_ascii=False).encode())
    except BrokenPipeError:
        # click ends quietly when nothing reads any more.
        raise
    except OSError as error:
        raise click.ClickException(f"cannot write the output: {error.strerror}") from None
