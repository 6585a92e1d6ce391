"""What several commands have in common."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from tokend_server.config import Config, Store
from tokend_server.config.stores import SQLITE
from tokend_server.errors import ConfigError
from tokend_server.model import NumericDate

#: How the library begins what a check of ours says.
_OF_PYDANTIC = "Value error, "

_Command = TypeVar("_Command", bound=Callable[..., Any])


def config_option(command: _Command) -> _Command:
    """The option `--config`, handed on as `config_path`."""
    return click.option(
        "--config",
        "config_path",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="TOKEND_CONFIG",
        help="tokend.toml; without it, the embedded default.",
    )(command)


def with_store(config: Config, url: str) -> Config:
    """The configuration with the store of a URL.

    Raises:
        ConfigError: It is none.
    """
    try:
        return config.model_copy(update={"store": Store.model_validate({"url": url})})
    except ValidationError as error:
        raise ConfigError([f"store.url: {each['msg'].removeprefix(_OF_PYDANTIC)}" for each in error.errors()]) from None


def check_store_is_there(config: Config) -> None:
    """Refuses a configuration whose store is not there: a new one would look like one that has lost what it held.

    Raises:
        ClickException: It names a file of SQLite that is not there.
    """
    if config.store_url.startswith(SQLITE) and not config.store_file.exists():
        raise click.ClickException(
            f"There is no store at {config.store_file}: name the configuration of the servers with --config. "
            "`tokend serve` and `tokend migrate` make a new one."
        )


def echo_json(document: object) -> None:
    """Prints a document as the AWS CLI does."""
    click.echo(json.dumps(document, indent=4, ensure_ascii=False))


def iso(date: NumericDate) -> str:
    """A date as ISO 8601 writes it, in UTC."""
    return datetime.fromtimestamp(date, UTC).isoformat()
