from contextlib import closing
from pathlib import Path

import click

from tokend_server.cli.options import config_option
from tokend_server.config import load_config
from tokend_server.engines.local.stores.opening import open_store


@click.command()
@config_option
def migrate(config_path: Path | None) -> None:
    """Bring the store's schema to the version that this release needs."""
    with closing(open_store(load_config(config_path))) as store:
        applied = store.migrate()
    click.echo(f"applied: {', '.join(applied)}" if applied else "up to date")
