"""Paths in settings: `~` is expanded to the home directory, and other shell expansions are refused.

A relative path is relative to the working directory of the process, whatever the setting.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator

#: The maximum length of a unix socket's path in bytes: `sun_path` of unix(7) without the final NUL.
LONGEST_SOCKET_PATH = 107

_SHELL_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|\{)", re.ASCII)
_PERCENT_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")


def expand_home(path: str) -> str:
    """Expands a leading `~` or `~USER` of a path to the home directory.

    Raises:
        ValueError: It cannot be a path, or is probably not the intended one.
    """
    if not path.strip():
        raise ValueError("must name a file or directory")
    if path != path.strip():
        raise ValueError("must not begin or end with white space")
    if "\0" in path:
        raise ValueError("must have no NUL")
    if variable := _SHELL_VARIABLE.search(path):
        raise ValueError(f"has {variable[0]}, but variables are not expanded: write the full path, or ~ for the home")
    home = os.path.expanduser(path)  # noqa: PTH111 - Path's own raises RuntimeError, and knows no empty HOME
    if path.startswith("~") and not home.startswith("/"):
        user = path.partition("/")[0]
        raise ValueError(f"has {user}, whose home directory is not known: write the full path, or ./{user} for a file")
    return home


def expand_url_path(path: str) -> str:
    """As `expand_home`, for the path of a URL-like value without encoding, query and fragment.

    Raises:
        ValueError: As `expand_home`; or it has percent-encoding, a query or a fragment.
    """
    if _PERCENT_ENCODED.search(path):
        raise ValueError("has a percent-encoded character, which is not decoded: write the path without encoding")
    if found := re.search("[?#]", path):
        raise ValueError(f"must have no query and no fragment, but has {found[0]}")
    return expand_home(path)


def socket_path(path: str) -> str:
    """Returns the path of a unix socket.

    Raises:
        ValueError: As `expand_url_path`; or it is too long.
    """
    home = expand_url_path(path)
    if (length := len(os.fsencode(home))) > LONGEST_SOCKET_PATH:
        raise ValueError(f"has {length} bytes, but the path of a unix socket may have at most {LONGEST_SOCKET_PATH}")
    return home


def _to_local_path(value: object) -> object:
    # A `Path`, such as the default, is from the system and must not be expanded.
    return Path(expand_home(value)) if isinstance(value, str) else value


#: A file or directory.
LocalPath = Annotated[Path, BeforeValidator(_to_local_path)]


def named_paths(value: object, name: str = "") -> Iterator[tuple[str, Path]]:
    """Yields the paths in a value of settings, with the names of their settings."""
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
