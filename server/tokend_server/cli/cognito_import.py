"""Imports a pool in Cognito into the store."""

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import click

from tokend_server.cli.import_target import ImportTarget
from tokend_server.cli.progress import counted
from tokend_server.clock import SystemClock
from tokend_server.engines.cognito.pool_reading import PoolReader, SkippedIdentity, pool_client
from tokend_server.engines.local.transfer import Import, Imported, abbreviated
from tokend_server.model import Identity, pool_region


def import_from_cognito(target: ImportTarget, source: str, lookups_per_second: float, importing: Import) -> Imported:
    """Creates the identities of a pool in Cognito, and reports on standard error which are incomplete.

    Raises:
        ConfigError: The pools have different developer providers, or Cognito cannot be called with the settings.
        TokendError: Cognito or the store fails; the import may be repeated.
    """
    region = pool_region(source)
    if region != pool_region(target.identity_pool_id):
        raise click.UsageError("The pools are in different regions, which are part of the identities' ids.")
    clock = SystemClock()
    with closing(pool_client(target.config.cognito, region, lookups_per_second, clock, time.sleep)) as client:
        reading = PoolReader(client, source, target.identity_pool_id, target.developer_provider_name)
        reading.check()
        target.keep_developer_provider()
        left_out: list[str] = []
        with counted("importing") as progress:
            read = reading.identities(partial(importing.is_held, target.identity_pool_id), progress)
            done = importing.run(_without(left_out, read), lambda _created: None)
    done.problems += left_out
    if reading.incomplete:
        click.echo("without their logins of public providers, whose users Cognito does not disclose:", err=True)
        click.echo("\n".join(abbreviated(reading.incomplete)), err=True)
    return done


def _without(left_out: list[str], read: Iterator[Identity | SkippedIdentity]) -> Iterator[tuple[str, Identity]]:
    """Yields the identities that were read; adds the others to a list."""
    for each in read:
        if isinstance(each, SkippedIdentity):
            left_out.append(f"{each.identity_id}: {each.reason}")
        else:
            yield each.identity_id, each
