"""JSON with duplicate members, which `json` alone would drop."""

import json
from dataclasses import dataclass

from tokend_client.tokendctl.errors import InvalidInput

_NAMES = {str: "a string", bool: "a boolean", int: "an integer", float: "a number", list: "an array", dict: "an object"}


@dataclass(frozen=True, slots=True)
class JsonObject:
    """An object with its members in order, including duplicates."""

    members: tuple[tuple[str, object], ...]


def parse_object(text: str) -> JsonObject:
    """Parses a JSON text (RFC 8259) that is an object. Objects in it also become `JsonObject`.

    Raises:
        InvalidInput: It is not JSON, exceeds the parser's limits, or is not an object.
    """
    return to_object(_parse(text))


def to_object(value: object) -> JsonObject:
    """Returns the value, if it is an object.

    Raises:
        InvalidInput: It is not an object.
    """
    if not isinstance(value, JsonObject):
        raise InvalidInput(f"expected an object, found {type_name(value)}")
    return value


def type_name(value: object) -> str:
    """Returns the type of a JSON value for messages."""
    if value is None:
        return "null"
    return "an object" if isinstance(value, JsonObject) else _NAMES.get(type(value), "a value of another type")


def _parse(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=lambda members: JsonObject(tuple(members)))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidInput(f"not valid JSON at {place}: {error.msg}") from None
    except (ValueError, RecursionError):
        raise InvalidInput("not readable JSON: a number is too long or the nesting too deep") from None
