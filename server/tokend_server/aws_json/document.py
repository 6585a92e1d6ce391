"""Parses request bodies as strict JSON, and the values of its members."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from tokend_server.aws_json.errors import AwsError

#: AWS's names of the types of JSON values.
_KINDS: Mapping[type, str] = {
    str: "STRING_VALUE",
    int: "NUMBER_VALUE",
    float: "NUMBER_VALUE",
    bool: "BOOLEAN_VALUE",
    list: "LIST_VALUE",
    dict: "STRUCTURE_VALUE",
    type(None): "NULL_VALUE",
}


def parse_document(body: bytes) -> dict[str, Any]:
    """Returns the members of a JSON object, without those that are null.

    Raises:
        AwsError: SerializationException: the body is not JSON in UTF-8 (RFC 8259), not an object, nested too deeply, or
            has an object with a duplicate member.
    """
    try:
        document = json.loads(body.decode(), object_pairs_hook=_members, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise _serialization("The request is not valid JSON.") from None
    if not isinstance(document, dict):
        raise _serialization("Start of structure expected.")
    return document


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is duplicated")
    return {name: value for name, value in members.items() if value is not None}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def text(value: object) -> str:
    """Returns a string of Unicode characters.

    Raises:
        AwsError: SerializationException.
    """
    if not isinstance(value, str):
        raise _wrong_kind(value, "a String")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _serialization("A string contains a lone surrogate.") from None
    return value


def map_of(value: object) -> dict[str, object]:
    """Returns a map of strings to any values.

    Raises:
        AwsError: SerializationException.
    """
    if not isinstance(value, dict):
        raise _wrong_kind(value, "a Map")
    return value


def list_of(value: object) -> list[object]:
    """Returns a list of any values.

    Raises:
        AwsError: SerializationException.
    """
    if not isinstance(value, list):
        raise _wrong_kind(value, "a List")
    return value


def boolean(value: object) -> bool:
    """Returns a Boolean.

    Raises:
        AwsError: SerializationException.
    """
    if not isinstance(value, bool):
        raise _wrong_kind(value, "a Boolean")
    return value


def integer(value: object) -> int:
    """Returns an integer of 32 bits.

    Raises:
        AwsError: SerializationException.
    """
    return _whole(value, 31, "an Integer")


def long(value: object) -> int:
    """Returns an integer of 64 bits.

    Raises:
        AwsError: SerializationException.
    """
    return _whole(value, 63, "a Long")


def _whole(value: object, bits: int, kind: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**bits) <= value < 2**bits:
        raise _wrong_kind(value, kind)
    return value


def _wrong_kind(value: object, expected: str) -> AwsError:
    return _serialization(f"{_KINDS[type(value)]} can not be converted to {expected}")


def _serialization(text: str) -> AwsError:
    return AwsError("SerializationException", text)
