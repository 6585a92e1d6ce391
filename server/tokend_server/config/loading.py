"""Reads the configuration from the file and the environment, and reports all problems at once."""

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tokend_server.config.configuration import Config, cross_section_problems_without, environment_variables
from tokend_server.config.environment import unknown_setting_problem, unknown_variables
from tokend_server.config.paths import expand_home
from tokend_server.errors import ConfigError

#: Variables with the prefix that are not settings: the path of the file, the endpoint of `tokendctl`, the file of
#: `tokend-agent`, and the variable that a quickstart sets in a shell.
_OTHER_VARIABLES = frozenset({"TOKEND_CONFIG", "TOKEND_ENDPOINT", "TOKEND_AGENT_CONFIG", "TOKEND_QUICKSTART_PID"})

_TABLE = "must be a table; in a variable, as JSON with unique names"

#: Replacements for pydantic's texts that are about Python, by error type.
_TEXTS = {"dict_type": _TABLE, "model_type": _TABLE, "path_type": "must be a path", "too_short": "must not be empty"}


def load_config(path: Path | None) -> Config:
    """Reads the file, if there is one, and the environment.

    Raises:
        ConfigError: There are problems.
    """
    file: dict[str, Any] = {}
    problems: list[str] = []
    try:
        file = _read(path) if path else {}
    except ConfigError as error:
        problems += error.problems
    if path is not None and not problems and "pools" not in file and "TOKEND_POOLS" not in os.environ:
        problems.append('pools: declare at least one pool, as [pools."REGION:GUID"]')
    problems += unknown_variables(os.environ, environment_variables().keys() | _OTHER_VARIABLES)
    try:
        config = Config(**file)
    except ValidationError as error:
        found = error.errors(include_url=False)
        for details in found:
            problems += _problems(details)
        if all(details["loc"] for details in found):
            problems += cross_section_problems_without({str(details["loc"][0]) for details in found}, file)
    if problems:
        raise ConfigError(problems)
    return config


def _read(path: Path) -> dict[str, Any]:
    """Reads a file.

    Raises:
        ConfigError: It cannot be read, or is not TOML.
    """
    try:
        # Some editors write a byte-order mark.
        return tomllib.loads(Path(expand_home(str(path))).read_text(encoding="utf-8-sig"))
    except OSError as error:
        problem = error.strerror
    except UnicodeDecodeError as error:
        problem = f"can't decode byte {error.start + 1} as UTF-8: save the file in that encoding"
    except ValueError as error:  # tomllib.TOMLDecodeError, or a number that is too long
        problem = str(error)
    except RecursionError:
        problem = "values are nested too deep"
    raise ConfigError([f"{path}: {problem}"])


def _problems(details: ErrorDetails) -> Iterator[str]:
    """Yields pydantic's problems of a setting; a check of several settings has a line for each problem."""
    setting = ".".join(map(str, details["loc"]))
    message = details["msg"]
    if details["type"] == "extra_forbidden":
        names = {".".join(filter(None, names)) for names in environment_variables().values()}
        message = unknown_setting_problem(setting, names)
    else:
        message = _TEXTS.get(details["type"], message)
    for problem in message.removeprefix("Value error, ").split("\n"):
        yield f"{setting}: {problem}" if setting else problem
