from contextlib import closing
from pathlib import Path

import click

from tokend_server.cli.options import config_option
from tokend_server.config import load_config
from tokend_server.engines.local.stores.opening import open_store, template_of


@click.command()
@config_option
@click.option(
    "--print",
    "language",
    type=click.Choice(["cloudformation", "terraform"]),
    help="Print a template that creates the table of a store on DynamoDB, and do nothing else.",
)
def migrate(config_path: Path | None, language: str | None) -> None:
    """Upgrade the store's schema to the version that this release needs."""
    config = load_config(config_path)
    if language:
        click.echo(template_of(config, language))
        return
    with closing(open_store(config)) as store:
        applied = store.migrate()
    click.echo(f"applied: {', '.join(applied)}" if applied else "up to date")
