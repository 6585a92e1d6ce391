import secrets

import click
from pydantic import TypeAdapter, ValidationError

from tokend_server.callers import keys
from tokend_server.config.fields import Name


@click.group()
def callers() -> None:
    """Callers of the service."""


def _checked(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    try:
        return TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise click.BadParameter("must be 1 to 128 letters, digits, '_', '.' and '-'") from None


@callers.command("new-key")
@click.argument("name", callback=_checked)
def new_key(name: str) -> None:
    """Make a bearer key for the caller NAME.

    The key goes to standard output, alone and never again; the lines for tokend.toml go to standard error.
    """
    key = keys.new_key(secrets.token_bytes)
    click.echo(f'[callers.keys]\n"{name}" = ["{keys.digest(key)}"]', err=True)
    click.echo(key.reveal())
