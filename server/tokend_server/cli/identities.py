import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import click

from tokend_server.cli.import_target import ImportTarget, import_target
from tokend_server.cli.options import FilePath, check_store_exists, config_option, echo_json, to_iso_8601
from tokend_server.cli.progress import counted
from tokend_server.clock import SystemClock
from tokend_server.config import Config, load_config
from tokend_server.engines.local.administration import IdentityAdministration
from tokend_server.engines.local.build import new_guid
from tokend_server.engines.local.kept_pools import pool_of
from tokend_server.engines.local.store import Store
from tokend_server.engines.local.stores.opening import open_migrated_store
from tokend_server.engines.local.transfer import MAX_NAMED, Import, abbreviated, export_lines, problems, read_lines
from tokend_server.errors import ResourceNotFound, TokendError, UnsupportedByEngine
from tokend_server.model import Identity


@click.group()
def identities() -> None:
    """Identities of the pools of the local engine."""


_pool_option = click.option("--identity-pool-id", required=True, help="The pool, as REGION:GUID.")


@identities.command()
@config_option
@_pool_option
def create(config_path: Path | None, identity_pool_id: str) -> None:
    """Create an unauthenticated (guest) identity."""
    with _open_administration(config_path, identity_pool_id, create_missing=True) as administration:
        echo_json({"IdentityId": administration.create().identity_id})


@identities.command()
@config_option
@_pool_option
@click.argument("identity_id")
def describe(config_path: Path | None, identity_pool_id: str, identity_id: str) -> None:
    """Show an identity with the names of its login providers."""
    with _open_administration(config_path, identity_pool_id) as administration:
        echo_json(_described(administration.describe(identity_id)))


@identities.command("list")
@config_option
@_pool_option
@click.option("--max-results", type=click.IntRange(1, 60), default=60, show_default=True, help="Identities on a page.")
@click.option("--next-token", help="NextToken of the previous page.")
@click.option("--hide-disabled", is_flag=True, help="Omit disabled identities.")
def list_identities(
    config_path: Path | None, identity_pool_id: str, max_results: int, next_token: str | None, *, hide_disabled: bool
) -> None:
    """List the identities of a pool, a page at a time."""
    with _open_administration(config_path, identity_pool_id) as administration:
        page = administration.list(max_results=max_results, next_token=next_token, hide_disabled=hide_disabled)
    listed: dict[str, Any] = {
        "IdentityPoolId": identity_pool_id,
        "Identities": [_described(identity) for identity in page.identities],
    }
    echo_json(listed | ({"NextToken": page.next_token} if page.next_token else {}))


@identities.command()
@config_option
@_pool_option
@click.argument("identity_ids", nargs=-1, required=True)
def delete(config_path: Path | None, identity_pool_id: str, identity_ids: tuple[str, ...]) -> None:
    """Delete identities permanently: their users get new identities at their next calls.

    Prints the response of DeleteIdentities. Exit code 1: some did not exist, or could not be deleted.
    """
    with _open_administration(config_path, identity_pool_id) as administration:
        failures = {each: _failed_deletion(administration, each) for each in dict.fromkeys(identity_ids)}
    missing = [each for each, failure in failures.items() if isinstance(failure, ResourceNotFound)]
    unprocessed = {each: failure for each, failure in failures.items() if failure and each not in missing}
    answer = [{"IdentityId": each, "ErrorCode": "InternalServerError"} for each in unprocessed]
    echo_json({"UnprocessedIdentityIds": answer})
    problems = [f"{each}: {failure}" for each, failure in unprocessed.items()]
    if missing:
        problems.append(f"not found: {', '.join(missing)}")
    if problems:
        raise click.ClickException("\n".join(problems))


@identities.command()
@config_option
@_pool_option
def export(config_path: Path | None, identity_pool_id: str) -> None:
    """Print all identities of a pool with their logins, as lines of JSON. These contain the users' identifiers."""
    with _open_store(config_path, identity_pool_id) as (_config, store):
        for line in export_lines(store, identity_pool_id):
            click.echo(line)


@identities.command("import")
@config_option
@_pool_option
@click.argument("file", required=False, type=FilePath(allow_dash=True))
@click.option("--from-cognito", metavar="POOL", help="Instead of FILE: the identity pool in Cognito, as REGION:GUID.")
@click.option(
    "--lookups-per-second",
    type=click.FloatRange(0.1, 1000),
    default=10.0,
    show_default=True,
    help="With --from-cognito: the rate of LookupDeveloperIdentity, one for each identity.",
)
def import_(
    config_path: Path | None,
    identity_pool_id: str,
    file: Path | None,
    from_cognito: str | None,
    lookups_per_second: float,
) -> None:
    """Create the identities of FILE, or of a pool in Cognito, with their ids and logins; existing ones are not changed.

    FILE has the format of `export`; - is standard input. Nothing is created if a line is invalid. An interrupted
    import can be repeated. Exit code 1: some identities were left out, because they contradict existing ones or cannot
    be read completely.
    """
    if (file is None) == (from_cognito is None):
        raise click.UsageError("Either FILE or --from-cognito is needed.")
    with _open_store(config_path, identity_pool_id, create_missing=True) as (config, store):
        target, importing = import_target(config, store, identity_pool_id), Import(store, SystemClock())
        if file is not None:
            with _read_twice(file) as lines:
                _check_lines(target, file, lines)
                lines.seek(0)
                target.keep_developer_provider()
                with counted("importing") as progress:
                    done = importing.run(read_lines(lines), progress)
        elif from_cognito is not None:
            from tokend_server.cli.cognito_import import import_from_cognito  # noqa: PLC0415 - loads boto3

            done = import_from_cognito(target, from_cognito, lookups_per_second, importing)
    click.echo(f"identities: {done.created} created, {done.present} already present, {len(done.problems)} left out")
    if done.problems:
        raise click.ClickException("\n".join(abbreviated(done.problems)))


@contextmanager
def _read_twice(file: Path) -> Iterator[IO[bytes]]:
    """Opens a file to read it twice; a pipe, which can be read only once, is copied to a temporary file."""
    with ExitStack() as undo:
        lines = undo.enter_context(click.open_file(str(file), "rb"))
        if not lines.seekable():
            kept = undo.enter_context(TemporaryFile())
            shutil.copyfileobj(lines, kept)
            kept.seek(0)
            lines = kept
        yield lines


def _check_lines(target: ImportTarget, file: Path, lines: IO[bytes]) -> None:
    wrong = list(islice(problems(lines, target.identity_pool_id, target.provider_names), MAX_NAMED))
    if wrong:
        raise click.ClickException("\n".join([f"{file}: nothing is imported", *wrong]))


def _failed_deletion(administration: IdentityAdministration, identity_id: str) -> TokendError | None:
    """Deletes an identity, and returns the error if that failed."""
    try:
        administration.delete(identity_id)
    except TokendError as error:
        return error
    return None


@contextmanager
def _open_administration(
    config_path: Path | None, identity_pool_id: str, *, create_missing: bool = False
) -> Iterator[IdentityAdministration]:
    with _open_store(config_path, identity_pool_id, create_missing=create_missing) as (_config, store):
        yield IdentityAdministration(identity_pool_id, store, SystemClock(), new_guid)


@contextmanager
def _open_store(
    config_path: Path | None, identity_pool_id: str, *, create_missing: bool = False
) -> Iterator[tuple[Config, Store]]:
    """Returns a context manager with the store of a configuration; creates a missing store if `create_missing`."""
    config = load_config(config_path)
    is_declared = identity_pool_id in config.pools
    if not (is_declared or config.aws.manage_pools):
        raise ResourceNotFound.identity_pool(identity_pool_id)
    if is_declared and identity_pool_id not in config.pools_of("local"):
        raise UnsupportedByEngine("The identities of Cognito's pools are managed by the AWS CLI and console.")
    if not create_missing:
        check_store_exists(config)
    with closing(open_migrated_store(config)) as store:
        if not is_declared and pool_of(store.kept_pool(identity_pool_id)) is None:
            raise ResourceNotFound.identity_pool(identity_pool_id)
        yield config, store


def _described(identity: Identity) -> dict[str, Any]:
    return {
        "IdentityId": identity.identity_id,
        "Logins": sorted({login.provider_name for login in identity.logins}),
        "CreationDate": to_iso_8601(identity.creation_date),
        "LastModifiedDate": to_iso_8601(identity.last_modified_date),
        "Disabled": identity.disabled,
    }
