from collections.abc import Callable
from pathlib import Path

import click

from tokend_server.cli.options import FilePath, config_option
from tokend_server.config import load_config
from tokend_server.engines.local.stores.sqlite.backup import Contents, CopyRefused, back_up
from tokend_server.engines.local.stores.sqlite.backup import restore as put_back

_file_argument = click.argument("file", type=FilePath())


@click.command()
@config_option
@_file_argument
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def backup(config_path: Path | None, file: Path, *, force: bool) -> None:
    """Copy the database into FILE, also while servers use it. FILE then contains the private keys."""
    database = load_config(config_path).store_file
    click.echo(_summary_of(lambda: back_up(database, file, overwrite=force)))


@click.command()
@config_option
@_file_argument
@click.option("--force", is_flag=True, help="Replace the identities and keys in the database.")
@click.option(
    "--without-log",
    is_flag=True,
    help="Accept a FILE that was copied while in use, or whose log is lost: it lacks the last writes.",
)
def restore(config_path: Path | None, file: Path, *, force: bool, without_log: bool) -> None:
    """Replace the database by a file from `backup`; no server may use the database."""
    database = load_config(config_path).store_file
    click.echo(_summary_of(lambda: put_back(file, database, overwrite=force, without_log=without_log)))


def _summary_of(copy: Callable[[], Contents]) -> str:
    try:
        contents = copy()
    except CopyRefused as error:
        raise click.ClickException(str(error)) from error
    return f"identities: {contents.identities}, signing keys: {contents.signing_keys}"
