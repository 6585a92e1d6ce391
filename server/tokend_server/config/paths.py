"""Paths as people write them in settings: `~` is the home directory, and what a shell alone would expand is refused.

A relative path is relative to the working directory of the process, whatever the setting.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator

#: Bytes of a unix socket's path: `sun_path` of unix(7) less the NUL at its end.
LONGEST_SOCKET_PATH = 107

_SHELL_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|\{)", re.ASCII)
_PERCENT_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")


def expanded(path: str) -> str:
    """A path with the home directory for a leading `~` or `~USER`.

    Raises:
        ValueError: It can be no path, or it would be another one than is meant.
    """
    if not path.strip():
        raise ValueError("must name a file or directory")
    if path != path.strip():
        raise ValueError("must have no white space at its ends")
    if "\0" in path:
        raise ValueError("must have no NUL")
    if variable := _SHELL_VARIABLE.search(path):
        raise ValueError(f"has {variable[0]}, and no variables are expanded: write the path out, or ~ for the home")
    home = os.path.expanduser(path)  # noqa: PTH111 - Path's own raises RuntimeError, and knows no empty HOME
    if path.startswith("~") and not home.startswith("/"):
        user = path.partition("/")[0]
        raise ValueError(f"has {user}, whose home directory is not known: write the path out, or ./{user} for a file")
    return home


def expanded_of_url(path: str) -> str:
    """As `expanded`, for the path of a URL-like value, in which nothing is encoded and nothing follows.

    Raises:
        ValueError: As `expanded`; or it has what others would decode or take for a query.
    """
    if _PERCENT_ENCODED.search(path):
        raise ValueError("has a percent-encoded character, and none is decoded: write the path as it is")
    if found := re.search("[?#]", path):
        raise ValueError(f"must have no query and no fragment, but has {found[0]}")
    return expanded(path)


def socket_path(path: str) -> str:
    """The path of a unix socket.

    Raises:
        ValueError: As `expanded_of_url`; or it is too long.
    """
    home = expanded_of_url(path)
    if (length := len(os.fsencode(home))) > LONGEST_SOCKET_PATH:
        raise ValueError(f"has {length} bytes, and the path of a unix socket has {LONGEST_SOCKET_PATH} at most")
    return home


def _expanded_path(value: object) -> object:
    # A path that is one already, such as the default, comes from the system and says what it means.
    return Path(expanded(value)) if isinstance(value, str) else value


#: A file or directory.
LocalPath = Annotated[Path, BeforeValidator(_expanded_path)]


def named_paths(value: object, name: str = "") -> Iterator[tuple[str, Path]]:
    """The paths in a value of settings, with the names of their settings."""
    match value:
        case Path():
            yield name, value
        case BaseModel():
            for part, each in value:
                yield from named_paths(each, f"{name}.{part}".removeprefix("."))
        case dict():
            for key, each in value.items():
                yield from named_paths(each, f"{name}.{key}")
        case list() | tuple():
            for number, each in enumerate(value):
                yield from named_paths(each, f"{name}.{number}")
        case _:
            return
