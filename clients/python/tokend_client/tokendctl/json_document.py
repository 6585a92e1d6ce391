"""JSON that keeps what `json` alone would lose: members that come more than once."""

import json
from dataclasses import dataclass

from tokend_client.tokendctl.errors import InvalidInput

_NAMES = {str: "a string", bool: "a boolean", int: "an integer", float: "a number", list: "an array", dict: "an object"}


@dataclass(frozen=True, slots=True)
class JsonObject:
    """An object with its members in their order, also those whose name comes again."""

    members: tuple[tuple[str, object], ...]


def parse_object(text: str) -> JsonObject:
    """Reads a JSON text (RFC 8259) that is an object; objects in it become `JsonObject` as well.

    Raises:
        InvalidInput: It is not JSON, beyond what can be read, or not an object.
    """
    return to_object(_parse(text))


def to_object(value: object) -> JsonObject:
    """The value, if it is an object.

    Raises:
        InvalidInput: It is not.
    """
    if not isinstance(value, JsonObject):
        raise InvalidInput(f"expected an object, found {type_name(value)}")
    return value


def type_name(value: object) -> str:
    """What a JSON value is, for people."""
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
