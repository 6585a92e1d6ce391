"""Options and functions that several commands share."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from tokend_server.config import Config, Store
from tokend_server.config.fields import Name
from tokend_server.config.stores import SQLITE
from tokend_server.errors import ConfigError
from tokend_server.model import NumericDate

#: The prefix with which pydantic reports the errors of tokend's checks.
_PYDANTIC_PREFIX = "Value error, "


class FilePath(click.Path):
    """The path of a file.

    An empty path, such as an unset shell variable, is refused: it would mean the working directory.

    Args:
        exists: Whether the file must exist.
        allow_dash: Whether - means a standard stream.
    """

    def __init__(self, *, exists: bool = False, allow_dash: bool = False) -> None:
        super().__init__(exists=exists, dir_okay=False, allow_dash=allow_dash, path_type=Path)

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        if value == "":
            self.fail("must name a file", param, ctx)
        return super().convert(value, param, ctx)


def reject_empty(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """The callback of a text that must not be empty, such as an unset shell variable."""
    if value == "":
        raise click.BadParameter("must not be empty")
    return value


def validator(kind: Any, problem: str) -> Callable[[click.Context, click.Parameter, str | None], str | None]:  # noqa: ANN401 - a type
    """Returns the callback of an option or argument whose value, if given, must be valid for the type of a setting.

    Args:
        kind: The type.
        problem: The text for other values.
    """
    adapter: TypeAdapter[str] = TypeAdapter(kind)

    def validate(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
        try:
            return None if value is None else adapter.validate_python(value)
        except ValidationError:
            raise click.BadParameter(problem) from None

    return validate


#: Validates a name that is part of the name of a caller, or that of a developer provider.
validate_name = validator(Name, "must be 1 to 128 letters, digits, '_', '.' and '-'")


#: Adds the option `--config`, which is passed as `config_path`.
config_option = click.option(
    "--config",
    "config_path",
    type=FilePath(),
    envvar="TOKEND_CONFIG",
    help="tokend.toml; without it, the embedded default.",
)


def with_store(config: Config, url: str) -> Config:
    """Returns the configuration with the store of a URL.

    Raises:
        ConfigError: It is not the URL of a store.
    """
    try:
        return config.model_copy(update={"store": Store.model_validate({"url": url})})
    except ValidationError as error:
        raise ConfigError(
            [f"store.url: {each['msg'].removeprefix(_PYDANTIC_PREFIX)}" for each in error.errors()]
        ) from None


def check_store_exists(config: Config) -> None:
    """Refuses a configuration whose store does not exist: a new one would look like a store that lost its data.

    Raises:
        ClickException: Its SQLite file does not exist.
    """
    if config.store_url.startswith(SQLITE) and not config.store_file.exists():
        raise click.ClickException(
            f"There is no store at {config.store_file}: use the configuration of the servers with --config. "
            "`tokend serve` and `tokend migrate` create a new one."
        )


def echo_json(document: object) -> None:
    """Prints a document as the AWS CLI does."""
    click.echo(json.dumps(document, indent=4, ensure_ascii=False))


def to_iso_8601(date: NumericDate) -> str:
    """Returns a date in ISO 8601 and UTC."""
    return datetime.fromtimestamp(date, UTC).isoformat()
