from contextlib import ExitStack, closing
from pathlib import Path

import click

from tokend_server.cli.options import check_store_exists, reject_empty, with_store
from tokend_server.cli.progress import progress_of
from tokend_server.clock import SystemClock
from tokend_server.config import Config, load_config
from tokend_server.engines.local.copying import Contents, StoreCopy, contents, identity_count
from tokend_server.engines.local.stores.opening import open_migrated_store, open_store
from tokend_server.errors import ConfigError


@click.group()
def store() -> None:
    """The store of the local engine."""


@store.command()
@click.argument("source", metavar="FROM", callback=reject_empty)
@click.argument("target", metavar="TO", callback=reject_empty)
@click.option("--delete", is_flag=True, help="Remove from TO the identities and keys that FROM lacks.")
def copy(source: str, target: str, *, delete: bool) -> None:
    """Copy all identities, logins, signing keys and developer providers of the store FROM to TO, and compare the two.

    Both are store URLs, or configuration files with a store. Servers may use FROM meanwhile, but not TO. An interrupted
    run can be repeated, and a last run when no server uses FROM makes both equal. Exit code 1: they differ.
    """
    from_config, to_config = _configured(source), _configured(target)
    with ExitStack() as undo:
        check_store_exists(from_config)
        from_store = undo.enter_context(closing(open_store(from_config)))
        if from_store.missing_migrations():
            raise ConfigError(["store: FROM does not have the schema of this release: check its URL, or migrate it"])
        to_store = undo.enter_context(closing(open_migrated_store(to_config)))
        clock, total = SystemClock(), identity_count(from_store)
        with progress_of("copying", clock, total) as progress:
            written = StoreCopy(from_store, to_store, clock).run(progress, delete=delete)
        click.echo(
            f"identities: {written.created} created, {written.changed} changed, {written.deleted} deleted; "
            f"signing keys: {written.keys} copied"
        )
        pools = from_store.developer_providers().keys()
        with progress_of("reading FROM", clock, total) as progress:
            ours = contents(from_store, pools, progress)
        with progress_of("reading TO", clock, ours.identities) as progress:
            theirs = contents(to_store, pools, progress)
    click.echo(f"FROM: {_described(ours)}\nTO:   {_described(theirs)}")
    if ours != theirs:
        raise click.ClickException("The stores differ: repeat the copy when no server uses FROM.")


def _configured(place: str) -> Config:
    return with_store(Config(), place) if "://" in place else load_config(Path(place))


def _described(held: Contents) -> str:
    return (
        f"{held.identities} identities, {held.signing_keys} signing keys, "
        f"{held.developer_providers} developer providers, {held.digest}"
    )
