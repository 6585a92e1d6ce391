"""Variables in the texts of a case, and the rules of matching."""

import re
from collections.abc import Mapping
from typing import Any

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def expanded(value: Any, variables: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
    """Returns JSON with the variables replaced, and `{"repeat": text, "times": n}` expanded.

    Raises:
        KeyError: There is no such variable.
    """
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: variables[found[1]], value)
    if isinstance(value, list):
        return [expanded(each, variables) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"repeat", "times"}:
        return str(expanded(value["repeat"], variables)) * int(value["times"])
    return {expanded(name, variables): expanded(each, variables) for name, each in value.items()}


def mismatch(expected: Any, actual: Any, path: str = "") -> str | None:  # noqa: ANN401 - JSON
    """Returns where a JSON value does not match the expected one; None if it matches.

    Objects may have more members, lists are sets, `"*"` is any non-empty string, `{"absent": true}` is no value.
    """
    if expected == {"absent": True}:
        return f"{path} is there" if actual else None
    if expected == "*":
        return None if isinstance(actual, str) and actual else f"{path} is no text"
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            return f"{path} is no object"
        found = (mismatch(value, actual.get(name), f"{path}.{name}") for name, value in expected.items())
        return next(filter(None, found), None)
    if isinstance(expected, list):
        same = isinstance(actual, list) and sorted(map(repr, expected)) == sorted(map(repr, actual))
        return None if same else f"{path} does not have these members"
    return None if expected == actual else f"{path} differs"
