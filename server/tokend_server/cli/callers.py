import secrets
from pathlib import Path

import click

from tokend_server.callers import aws_keys, keys
from tokend_server.cli.options import FilePath, validate_name
from tokend_server.errors import ConfigError
from tokend_server.key_files import read_key


@click.group()
def callers() -> None:
    """Callers of the service."""


@callers.command("new-key")
@click.argument("name", callback=validate_name)
def new_key(name: str) -> None:
    """Create a bearer key for the caller NAME.

    The key is written to standard output, and cannot be shown again; the lines for tokend.toml go to standard error.
    """
    key = keys.new_key(secrets.token_bytes)
    click.echo(f'[callers.keys]\n"{name}" = ["{keys.digest(key)}"]', err=True)
    click.echo(key.reveal())


@callers.command("new-aws-key")
@click.argument("name", callback=validate_name)
@click.option(
    "--key-file",
    required=True,
    type=FilePath(),
    envvar="TOKEND_CALLERS_AWS_KEY_FILE",
    help="The file in callers.aws_key_file.",
)
def new_aws_key(name: str, key_file: Path) -> None:
    """Create an access key for the caller NAME, with which AWS's SDKs sign.

    The SDKs' variables are written to standard output, the lines for tokend.toml to standard error.
    """
    try:
        key = read_key(key_file)
    except ValueError as error:
        raise ConfigError([f"callers.aws_key_file: {error}"]) from None
    access_key_id = aws_keys.new_access_key_id(secrets.token_bytes)
    click.echo(f'[callers.aws_keys]\n"{name}" = ["{access_key_id}"]', err=True)
    click.echo(f"AWS_ACCESS_KEY_ID={access_key_id}")
    click.echo(f"AWS_SECRET_ACCESS_KEY={aws_keys.secret_access_key(key, access_key_id).reveal()}")
