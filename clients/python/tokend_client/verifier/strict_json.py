"""Parses JSON strictly: Python's parser accepts duplicate members and NaN."""

import json
from typing import Any, NoReturn


def loads(document: str | bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Parses a document.

    Raises:
        ValueError: It is not JSON (RFC 8259), or a member is duplicated.
        RecursionError: It is nested too deeply.
    """
    return json.loads(document, object_pairs_hook=_reject_duplicates, parse_constant=_reject_constant)


def _reject_duplicates(members: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(members)
    if len(unique) != len(members):
        raise ValueError("a member is duplicated")
    return unique


def _reject_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")
