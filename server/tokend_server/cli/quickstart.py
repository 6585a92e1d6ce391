"""A command that starts a service to try, and shows a verified token, or serves Cognito's own API for tests."""

import os
import sys

import click

from tokend_server import app, logs
from tokend_server.cli import quickstart_aws
from tokend_server.cli.first_token import example_commands, show_first_token, storage_location
from tokend_server.cli.options import reject_empty, validate_name, validator, with_store
from tokend_server.cli.stable_ports import is_free, stable_addresses
from tokend_server.cli.stopping import StopSignal, exit_immediately
from tokend_server.config import (
    EMBEDDED_DEVELOPER_PROVIDER,
    EMBEDDED_POOL_ID,
    Config,
    Grpc,
    Guard,
    Pool,
    load_config,
)
from tokend_server.config.fields import PoolId
from tokend_server.errors import ConfigError

#: Any free port, to avoid conflicts with running services.
_ANY_FREE_PORT = "127.0.0.1:0"

_LISTENERS = ("grpc", "issuer", "ops")

_validate_pool_id = validator(PoolId, "must be REGION:GUID, at most 55 characters")


@click.command()
@click.option("--once", is_flag=True, help="Exit after the first token instead of serving.")
@click.option("--store", "url", metavar="URL", callback=reject_empty, help="The store; by default, the embedded one.")
@click.option("--aws", is_flag=True, help="Serve Cognito's own API to a test suite, from a new empty store.")
@click.option("--identity-pool-id", callback=_validate_pool_id, help="--aws: the id of the pool.")
@click.option(
    "--developer-provider-name",
    callback=validate_name,
    help="--aws: the developer provider of the pool.",
)
@click.option("--until-stdin-closes", is_flag=True, help="--aws: end when standard input is closed, as by a parent.")
@click.argument("command", nargs=-1)
def quickstart(  # noqa: PLR0913 - the options
    *,
    once: bool,
    url: str | None,
    aws: bool,
    identity_pool_id: str | None,
    developer_provider_name: str | None,
    until_stdin_closes: bool,
    command: tuple[str, ...],
) -> None:
    """Start on the embedded default, get a token over gRPC, and verify it with the published keys.

    With --aws, Cognito's own API is served instead. COMMAND is run with the variables of AWS's SDKs, its exit code is
    passed on, and the service ends with it. Without a command, the variables are printed for a shell to eval.
    """
    if aws and once:
        raise click.UsageError("--once cannot be used with --aws")
    if not aws and (command or identity_pool_id or developer_provider_name or until_stdin_closes):
        raise click.UsageError("a command, a pool and --until-stdin-closes can be used only with --aws")
    logs.configure(level="warning", as_json=False)
    config = load_config(None)
    config = with_store(config, url) if url else config
    if not aws:
        _show_first_token(config, once=once)
        return
    config = _only_on_loopback(_with_pool(config, identity_pool_id, developer_provider_name))
    exit_immediately(quickstart_aws.serve(config, command, until_stdin_closes=until_stdin_closes))


def _with_pool(config: Config, identity_pool_id: str | None, developer_provider_name: str | None) -> Config:
    """Returns the configuration with one pool, unless other pools are configured and no pool is given."""
    is_embedded = list(config.pools) == [EMBEDDED_POOL_ID]
    if not (is_embedded or identity_pool_id or developer_provider_name):
        return config
    pool = Pool(developer_provider_name=developer_provider_name or EMBEDDED_DEVELOPER_PROVIDER)
    return config.model_copy(update={"pools": {identity_pool_id or quickstart_aws.POOL_ID: pool}})


def _show_first_token(config: Config, *, once: bool) -> None:
    stop = StopSignal()
    service = _start_service(config)
    try:
        if not service.issuer:
            raise ConfigError(["pools: quickstart shows the local engine, but no pool uses it"])
        show_first_token(config, service, shortened=sys.stdout.isatty())
        click.echo(f"\n{storage_location(config)}")
        if not once:
            click.echo("The same user has the same identity id after every restart. Stop with Ctrl-C.")
            click.secho("\nfrom another terminal", bold=True)
            click.echo("\n".join(example_commands(config, service, os.environ)))
            stop.wait()
    finally:
        service.stop()


def _start_service(config: Config) -> app.Service:
    """Starts the service on its previous ports, or on free ones.

    Raises:
        ConfigError: It cannot be started.
    """
    stable = stable_addresses(config.store_name, _LISTENERS, is_free)
    try:
        return app.start(_only_on_loopback(config, *stable))
    except ConfigError:  # another process may have taken a port
        return app.start(_only_on_loopback(config))


def _only_on_loopback(
    config: Config, grpc: str = _ANY_FREE_PORT, issuer: str = _ANY_FREE_PORT, ops: str = _ANY_FREE_PORT
) -> Config:
    """Returns the configuration on these addresses only, without authentication of callers."""
    unguarded = Grpc(listen=[grpc])
    return config.model_copy(
        update={
            "grpc": config.grpc.model_copy(
                update={name: getattr(unguarded, name) for name in ("listen", "listeners", *Guard.model_fields)}
            ),
            "policy": {},
            "issuer": config.issuer.model_copy(update={"listen": issuer, "url": None}),
            "ops": config.ops.model_copy(update={"listen": ops}),
        }
    )
