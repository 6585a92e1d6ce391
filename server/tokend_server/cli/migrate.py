from pathlib import Path

import click

from tokend_server.cli.options import config_option
from tokend_server.config import load_config
from tokend_server.engines.local.stores.sqlite.store import open_store


@click.command()
@config_option
def migrate(config_path: Path | None) -> None:
    """Bring the store's schema to the version that this release needs."""
    config = load_config(config_path)
    store = open_store(config.store_file)
    try:
        applied = store.migrate()
    finally:
        store.close()
    click.echo(f"applied: {', '.join(applied)}" if applied else "up to date")
