from contextlib import ExitStack, closing
from pathlib import Path

import click

from tokend_server.cli.options import progress_of, with_store
from tokend_server.clock import SystemClock
from tokend_server.config import Config, load_config
from tokend_server.engines.local.copying import Contents, Copying, contents
from tokend_server.engines.local.stores.opening import open_migrated_store, open_store
from tokend_server.errors import ConfigError


@click.group()
def store() -> None:
    """The store of the local engine."""


@store.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--delete", is_flag=True, help="Remove from TO the identities and keys that FROM lacks.")
def copy(source: str, target: str, *, delete: bool) -> None:
    """Make the store TO hold all identities, logins and signing keys of the store FROM, and compare the two.

    Both are store URLs, or configuration files that name a store. FROM may serve meanwhile; TO may not. A run that was
    broken off is repeated, and a last one, when FROM serves no more, makes both equal. Exit code 1: they differ.
    """
    from_config, to_config = _configured(source), _configured(target)
    if from_config.store_url == to_config.store_url:
        raise ConfigError(["store: FROM and TO are the same store"])
    with ExitStack() as undo:
        from_store = undo.enter_context(closing(open_store(from_config)))
        if from_store.missing_migrations():
            raise ConfigError(["store: FROM has not the schema of this release: check its place, or migrate it"])
        to_store = undo.enter_context(closing(open_migrated_store(to_config)))
        with progress_of("copying") as progress:
            written = Copying(from_store, to_store, SystemClock()).run(progress, delete=delete)
        click.echo(
            f"identities: {written.created} created, {written.changed} changed, {written.deleted} deleted; "
            f"signing keys: {written.keys} copied"
        )
        with progress_of("comparing") as progress:
            ours, theirs = contents(from_store, progress), contents(to_store, progress)
    click.echo(f"FROM: {_described(ours)}\nTO:   {_described(theirs)}")
    if ours != theirs:
        raise click.ClickException("The stores differ: repeat it when FROM serves no more.")


def _configured(place: str) -> Config:
    return with_store(Config(), place) if "://" in place else load_config(Path(place))


def _described(held: Contents) -> str:
    return f"{held.identities} identities, {held.signing_keys} signing keys, {held.digest}"
