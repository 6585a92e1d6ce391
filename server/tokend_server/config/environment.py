"""Environment variables with the prefix of settings: settings, variables of others, and mistakes.

Kubernetes sets variables with the addresses of Services in every container of their namespace, prefixed with the
Service's name ("Accessing the Service", Environment variables); Docker does so for links of containers ("Legacy
container links"). So a Service named `tokend` or `tokend-grpc` sets variables that begin with `TOKEND_`.
"""

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

#: The prefix of the variables of settings.
PREFIX = "TOKEND_"

_PROTOCOL = "(?:TCP|UDP|SCTP)"
_HOST = r"[\w.:-]+"
_NUMBER = r"\d{1,5}"
_URL = r"(?:tcp|udp|sctp)://\S+:\d{1,5}"

#: The end of a name and its value. The value counts too: `TOKEND_GRPC_PORT=50051` is a mistake.
_SERVICE_VARIABLES = tuple(
    (re.compile(rf"TOKEND_(?:[A-Z0-9_]*_)?{name}", re.ASCII), re.compile(value, re.ASCII))
    for name, value in (
        ("SERVICE_HOST", _HOST),
        ("SERVICE_PORT(?:_[A-Z0-9_]+)?", _NUMBER),
        ("PORT", _URL),
        (rf"PORT_\d+_{_PROTOCOL}(?:_START|_END)?", _URL),
        (rf"PORT_\d+_{_PROTOCOL}_PROTO", "tcp|udp|sctp"),
        (rf"PORT_\d+_{_PROTOCOL}_PORT(?:_START|_END)?", _NUMBER),
        (rf"PORT_\d+_{_PROTOCOL}_ADDR", _HOST),
        ("NAME", r"/[\w.-]+/[\w.-]+"),
    )
)

#: A linked container's own variables, which Docker repeats with the name of the link as prefix.
_LINK_VARIABLE = re.compile(r"(TOKEND_(?:[A-Z0-9_]*_)??)ENV_.+", re.ASCII)


class SettingsVariables(EnvSettingsSource):
    """Reads the settings from the environment, and ignores other variables with the same prefix.

    The base class would read `TOKEND_GRPC_PORT` as a setting of [grpc], and no variable of a table in a section.

    Args:
        settings_cls: The settings.
        known: Each variable, with its section and the name of its setting there.
    """

    def __init__(self, settings_cls: type[BaseSettings], known: Mapping[str, tuple[str, str]]) -> None:
        super().__init__(settings_cls, case_sensitive=False)  # names of variables are in upper case
        given = {name: place for name, place in known.items() if name in os.environ}
        self._in_tables = {place: os.environ[name] for name, place in given.items() if "." in place[1]}
        names = {
            name.lower() for name, place in given.items() if place not in self._in_tables
        }  # env_vars is case-insensitive
        self.env_vars = {name: value for name, value in self.env_vars.items() if name in names}

    def __call__(self) -> dict[str, Any]:
        values = super().__call__()
        for (section, name), value in self._in_tables.items():
            *tables, setting = name.split(".")
            table = values.setdefault(section, {})
            for each in tables:
                table = table.setdefault(each, {})
            table[setting] = value
        return values

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ANN401
        """Parses a table's JSON; other values stay text, so that they are reported with all other problems.

        So does `null`, which would count as an absent variable.
        """
        try:
            decoded = super().decode_complex_value(field_name, field, value)
            if decoded is not value:
                json.loads(value, object_pairs_hook=_unique_members)
        except (ValueError, RecursionError):
            return value
        return value if decoded is None else decoded


def service_variables(environment: Mapping[str, str]) -> list[str]:
    """Returns the sorted names of the variables of Kubernetes Services and Docker links."""
    found = {name for name, value in environment.items() if _is_service_variable(name, value)}
    links = {name.removesuffix("NAME") for name in found if name.endswith("_NAME")}
    return sorted(found | {name for name in environment if (of := _LINK_VARIABLE.fullmatch(name)) and of[1] in links})


def unknown_variables(environment: Mapping[str, str], known: Collection[str]) -> Iterator[str]:
    """Yields the problems of variables with the prefix that are not settings; those of services are ignored.

    Args:
        environment: All variables.
        known: The known names.
    """
    given = {name for name in environment if name.upper().startswith(PREFIX)}
    for name in sorted(given.difference(known, service_variables(environment))):
        yield f"{name}: {unknown_setting_problem(name.upper(), known)}"


def unknown_setting_problem(name: str, known: Collection[str]) -> str:
    """Returns the problem of an unknown name, with a suggestion."""
    matches = get_close_matches(name, known, n=1, cutoff=0.8)
    return "there is no such setting" + "".join(f"; did you mean {each}?" for each in matches)


def _unique_members(pairs: Sequence[tuple[str, object]]) -> Mapping[str, object]:
    """Returns a JSON object, whose names must be unique, as in tables of TOML.

    Raises:
        ValueError: A name is duplicated, so that its first value would be lost.
    """
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("a name is duplicated")
    return names


def _is_service_variable(name: str, value: str) -> bool:
    return any(names.fullmatch(name) and values.fullmatch(value) for names, values in _SERVICE_VARIABLES)
