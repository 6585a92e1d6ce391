"""The command line of the service and of those who operate it."""

import sys

import click

from tokend_server import logs
from tokend_server.cli.backup import backup, restore
from tokend_server.cli.callers import callers
from tokend_server.cli.check_config import check_config
from tokend_server.cli.failure import arguments_that_are_no_text, explained, give_up_output, keep_standard_streams
from tokend_server.cli.identities import identities
from tokend_server.cli.keys import keys
from tokend_server.cli.migrate import migrate
from tokend_server.cli.policy import policy
from tokend_server.cli.quickstart import quickstart
from tokend_server.cli.serve import serve
from tokend_server.cli.stopping import leave
from tokend_server.cli.store import store

#: Commands that say themselves where what they log goes.
_WITH_LOGS_OF_THEIR_OWN = frozenset({"quickstart", "serve"})


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tokend-server", prog_name="tokend")
@click.pass_context
def tokend(context: click.Context) -> None:
    """A gRPC token service with the developer identities of Amazon Cognito."""
    if context.invoked_subcommand not in _WITH_LOGS_OF_THEIR_OWN:
        context.with_resource(logs.shown())


for command in (serve, quickstart, check_config, migrate, backup, restore, keys, callers, policy, identities, store):
    tokend.add_command(command)


def main() -> None:
    """Runs the command line. Exit codes: 0 done, 1 refused or failed, 2 wrong usage."""
    keep_standard_streams()
    if numbers := arguments_that_are_no_text(sys.argv[1:]):
        click.echo(f"Error: not text in the locale's encoding: argument {', '.join(map(str, numbers))}", err=True)
        sys.exit(2)
    try:
        tokend()
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends in plain words
        lines = list(explained(error))
        if isinstance(error, OSError):
            give_up_output()
        for line in lines:
            click.echo(line, err=True)
        leave(1)
