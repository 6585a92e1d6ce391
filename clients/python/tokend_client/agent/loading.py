"""Loads the configuration file, and reports all problems at once."""

import difflib
import os
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tokend_client.agent.configuration import AgentSettings, Health, Log, Service, TokenSettings

_Table = TypeVar("_Table", bound=BaseModel)


class ConfigurationError(Exception):
    """Raised for an invalid configuration. The problems contain no login value.

    Attributes:
        problems: A text for each problem.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def load(path: Path) -> AgentSettings:
    """Loads a file.

    Raises:
        ConfigurationError: The file is invalid.
    """
    document = _document(path)
    problems = [f"{name}: {_unknown(name, AgentSettings)}" for name in document.keys() - AgentSettings.model_fields]
    service = _table(Service, document.get("tokend", {}), "tokend", problems)
    health = _table(Health, document.get("health", {}), "health", problems)
    log = _table(Log, document.get("log", {}), "log", problems)
    tables = document.get("tokens")
    if not isinstance(tables, list) or not tables:
        problems.append("tokens: must have at least one table [[tokens]]")
        tables = []
    read = [_table(TokenSettings, table, f"tokens.{_label(table, at)}", problems) for at, table in enumerate(tables)]
    tokens = tuple(token for token in read if token is not None)
    problems += _clashes(tokens)
    problems += _overwrites(tokens, {"--config": path, **_files(service, health)})
    if problems or service is None or health is None or log is None:
        raise ConfigurationError(*problems)
    return AgentSettings(tokend=service, health=health, log=log, tokens=tokens)


def _document(path: Path) -> dict[str, Any]:
    try:
        # Some editors write a byte-order mark before UTF-8 text.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except UnicodeDecodeError as error:
        problem = f"byte {error.start + 1} is not UTF-8"
    except ValueError as error:  # tomllib.TOMLDecodeError, or a number that is too long
        problem = str(error)
    except RecursionError:
        problem = "values are nested too deep"
    raise ConfigurationError(f"{path}: {problem}")


def _table(kind: type[_Table], table: object, place: str, problems: list[str]) -> _Table | None:
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        for details in error.errors(include_url=False, include_input=False, include_context=False):
            problems += [f"{place}{problem}" for problem in _problems(details, kind)]
    return None


def _problems(details: ErrorDetails, kind: type[BaseModel]) -> Iterator[str]:
    setting = "".join(f".{step}" for step in details["loc"] if step != "[key]")
    known = kind.model_fields.get(str(details["loc"][0])) if details["loc"] else None
    meaning = f" ({known.description})" if known else ""
    describe = _TEXTS.get(details["type"])
    text = describe(setting, kind) if describe else details["msg"]
    for problem in text.removeprefix("Value error, ").split("\n"):
        yield f"{setting}: {problem}{meaning}"


def _unknown(setting: str, kind: type[BaseModel]) -> str:
    close = difflib.get_close_matches(setting.rpartition(".")[2], kind.model_fields, 1)
    return "unknown setting" + (f"; did you mean {close[0]}?" if close else "")


_TEXTS: Mapping[str, Callable[[str, type[BaseModel]], str]] = {
    "extra_forbidden": _unknown,
    "missing": lambda _setting, _kind: "is required",
    "model_type": lambda _setting, _kind: "must be a table",
    "dict_type": lambda _setting, _kind: "must be a table",
}


def _label(table: object, at: int) -> str:
    name = table.get("name") if isinstance(table, dict) else None
    return name if isinstance(name, str) and name.isprintable() and name else str(at)


def _files(service: Service | None, health: Health | None) -> dict[str, Path]:
    """Returns the files that the agent itself needs, by their settings."""
    files = {f"tokend.{name}": value for name, value in service or () if isinstance(value, Path)}
    socket = health.socket_path if health else None
    return files | ({"health.listen": socket} if socket else {})


def _overwrites(tokens: tuple[TokenSettings, ...], files: Mapping[str, Path]) -> Iterator[str]:
    needed = [(name, os.path.realpath(path)) for name, path in files.items()]
    for token in tokens:
        written = str(_resolve_file(token))
        logins = [("its own login_files", os.path.realpath(path)) for path in token.login_files.values()]
        for name in [name for name, read in [*needed, *logins] if read == written]:
            yield f"tokens.{token.name}.file: is also the file in {name}, and tokens would overwrite it"


def _resolve_file(token: TokenSettings) -> Path:
    """Returns the file with its directory resolved. The agent replaces a link at the path itself."""
    return Path(os.path.realpath(token.file.parent)) / token.file.name


def _clashes(tokens: tuple[TokenSettings, ...]) -> Iterator[str]:
    names = Counter(token.name for token in tokens)
    yield from (f"tokens.{name}: {count} tokens have this name" for name, count in names.items() if count > 1)
    written = [(token, _resolve_file(token)) for token in tokens]
    for path in dict.fromkeys(path for _, path in written):
        same = [token.name for token, own in written if own == path]
        if len(same) > 1:
            yield f"tokens.{', '.join(same)}: have the same file, {path}"
    for token, path in written:
        inside = [other.name for other, own in written if other is not token and own.parent == path.parent]
        if token.layout == "projected" and inside:
            yield f"tokens.{token.name}: a projected directory has one token, but also contains {', '.join(inside)}"
