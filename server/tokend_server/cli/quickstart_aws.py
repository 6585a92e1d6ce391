"""Cognito's own API for a test suite: a service with one access key that ends with the suite and leaves no data."""

import os
import secrets
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from tokend_server import app
from tokend_server.callers.aws_keys import new_access_key_id, secret_access_key
from tokend_server.cli.aws_variables import shell_lines, variables, with_variables
from tokend_server.cli.child_command import ChildCommand
from tokend_server.cli.stopping import StopSignal
from tokend_server.config import Aws, Callers, Config, Limits, PolicySettings, Pool
from tokend_server.config.aws import AwsCredentials
from tokend_server.config.pools import Roles
from tokend_server.key_files import KEY_BYTES, read_key
from tokend_server.process.private_directory import private_directory

#: The pool if none is configured, in the Region of AWS's examples.
POOL_ID = "us-east-1:2f4c9a6e-0b1d-4c7e-9f00-6a1e7a5d3b21"

_CALLER = "quickstart"

#: The caller may do everything.
_EVERYTHING = PolicySettings(
    callers=["**"], pools=["*"], operations=["*"], max_token_duration_seconds=86_400, principal_tag_keys=["*"]
)


def serving_aws(config: Config, key_file: Path, access_key_id: str) -> Config:
    """Returns the configuration with Cognito's own API on a free loopback port, for one caller without limits.

    Args:
        config: The configuration.
        key_file: The file with the key from which the access key's secret is derived.
        access_key_id: The access key.
    """
    return config.model_copy(
        update={
            "aws": Aws(
                listen="127.0.0.1:0",
                manage_pools=True,
                account_id=config.aws.account_id,
                open_id_connect_providers=config.aws.open_id_connect_providers,
                credentials=AwsCredentials(source="static"),
            ),
            "pools": {pool_id: _with_roles(pool) for pool_id, pool in config.pools.items()},
            "callers": Callers(aws_key_file=key_file, aws_keys={_CALLER: [access_key_id]}),
            "limits": Limits(calls_per_second=0, new_identities_per_second=0),
            "policy": {_CALLER: _EVERYTHING},
        }
    )


def _with_roles(pool: Pool) -> Pool:
    """Returns the pool, with roles for its users and guests if it has none."""
    if pool.roles != Roles():
        return pool
    users, guests = (f"arn:aws:iam::{pool.account_id}:role/{_CALLER}-{kind}" for kind in ("users", "guests"))
    return pool.model_copy(update={"roles": Roles(authenticated=users, unauthenticated=guests)})


def serve(config: Config, command: Sequence[str], *, until_stdin_closes: bool) -> int:
    """Serves until a command ends; without a command, until a signal.

    Args:
        config: The pools, and the store if it is kept; with loopback addresses only.
        command: The command to run with the variables of AWS's SDKs, which are not printed then.
        until_stdin_closes: Whether the end of standard input also ends it, by SIGTERM.

    Returns:
        The exit code, which is the command's if there is one; as in env(1) if the command cannot be run.

    Raises:
        ConfigError: The service cannot be started.
    """
    child_command, stop = ChildCommand(), StopSignal(hangup=True)
    if until_stdin_closes:
        threading.Thread(target=_end_with_stdin, name="stdin", daemon=True).start()
    with private_directory("tokend-quickstart-") as directory:
        key_file = directory / "aws.key"
        key_file.write_text(secrets.token_hex(KEY_BYTES), encoding="ascii")  # only the owner can access the directory
        access_key_id = new_access_key_id(secrets.token_bytes)
        secret = secret_access_key(read_key(key_file), access_key_id)
        kept = config if config.store.url else config.model_copy(update={"data_dir": directory})
        served = serving_aws(kept, key_file, access_key_id)
        service = app.start(served)
        try:
            added = variables(served, service, access_key_id, secret, os.environ)
            if command:
                return child_command.run(command, with_variables(os.environ, added))
            _print_lines(served, service, shell_lines({**added, "TOKEND_QUICKSTART_PID": str(os.getpid())}))
            stop.wait(on_hangup=_end)
            return 0
        finally:
            service.stop()


def _print_lines(config: Config, service: app.Service, lines: str) -> None:
    """Prints the lines for people, or for a shell, which then gets an end of file."""
    pools = ", ".join(config.pools)
    click.echo(f"Cognito's own API: http://{service.aws_address}, pool {pools}. Stop with Ctrl-C or SIGTERM.", err=True)
    click.echo(lines)
    if not sys.stdout.isatty():
        sys.stdout.flush()
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _end_with_stdin() -> None:
    with suppress(OSError):
        while os.read(sys.stdin.fileno(), 4096):
            pass
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
