"""The command line of the service and of its operators."""

import sys

import click

from tokend_server import logs
from tokend_server.cli.commands import Commands
from tokend_server.cli.failure import (
    discard_output,
    error_lines,
    open_missing_standard_streams,
    undecodable_arguments,
    use_utf_8_output,
)
from tokend_server.cli.stopping import exit_immediately

#: Commands that configure their own logs.
_COMMANDS_WITH_OWN_LOG = frozenset({"quickstart", "serve"})


_COMMANDS = Commands(
    {
        "serve": "tokend_server.cli.serve",
        "quickstart": "tokend_server.cli.quickstart",
        "check-config": "tokend_server.cli.check_config",
        "migrate": "tokend_server.cli.migrate",
        "backup": "tokend_server.cli.backup",
        "restore": "tokend_server.cli.backup",
        "keys": "tokend_server.cli.keys",
        "callers": "tokend_server.cli.callers",
        "policy": "tokend_server.cli.policy",
        "identities": "tokend_server.cli.identities",
        "store": "tokend_server.cli.store",
    }
)


@click.group(commands=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tokend-server", prog_name="tokend")
@click.pass_context
def tokend(context: click.Context) -> None:
    """A gRPC token service with the developer identities of Amazon Cognito."""
    if context.invoked_subcommand not in _COMMANDS_WITH_OWN_LOG:
        context.with_resource(logs.logging_to_stderr())


def main() -> None:
    """Runs the command line. Exit codes: 0 success, 1 refusal or failure, 2 wrong usage."""
    open_missing_standard_streams()
    use_utf_8_output()
    if numbers := undecodable_arguments(sys.argv[1:]):
        click.echo(f"Error: not text in the locale's encoding: argument {', '.join(map(str, numbers))}", err=True)
        sys.exit(2)
    try:
        tokend()
    except Exception as error:  # noqa: BLE001 - commands report all errors in one line
        lines = list(error_lines(error))
        if isinstance(error, OSError):
            discard_output()
        for line in lines:
            click.echo(line, err=True)
        exit_immediately(1)
