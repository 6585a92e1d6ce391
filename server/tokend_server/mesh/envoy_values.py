"""Reads values that Envoy has verified from its CheckRequest."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

#: Reads a value from a CheckRequest's attributes (envoy.service.auth.v3.AttributeContext); None if there is none.
ReadValue: TypeAlias = Callable[[Any], str | None]

#: The separator of the values of a repeated header (RFC 9110, section 5.3).
_SEPARATOR = ","

#: The largest integer that all JSON parsers represent exactly (RFC 8259, section 6).
_MAX_WHOLE = 2**53 - 1


def metadata_reader(namespace: str, keys: Sequence[str]) -> ReadValue:
    """Returns a reader of a string, an integer or a Boolean at a path of keys in a filter's dynamic metadata."""
    *outer, last = keys

    def read(attributes: Any) -> str | None:  # noqa: ANN401 - a message
        struct = attributes.metadata_context.filter_metadata.get(namespace)
        for key in outer:
            value = None if struct is None else struct.fields.get(key)
            struct = None if value is None else value.struct_value  # empty if it is not a struct
        value = None if struct is None else struct.fields.get(last)
        return None if value is None else value.string_value or _other_text(value)

    return read


def _other_text(value: Any) -> str | None:  # noqa: ANN401 - a google.protobuf.Value
    """Returns the text of a value that is not a string; None if it is neither an integer nor a Boolean."""
    match value.WhichOneof("kind"):
        case "number_value" if math.isfinite(number := value.number_value) and number == int(number):
            return str(int(number)) if abs(number) <= _MAX_WHOLE else None
        case "bool_value":
            return "true" if value.bool_value else "false"
    return None


def header_reader(name: str) -> ReadValue:
    """Returns a reader of a header that occurs once, with one value.

    Envoy joins the values of a repeated header with commas. One of them may be the client's, so a value with a comma is
    rejected.
    """

    def read(attributes: Any) -> str | None:  # noqa: ANN401 - a message
        values = _values(attributes.request.http, name)
        return values[0] if len(values) == 1 and values[0] and _SEPARATOR not in values[0] else None

    return read


def _values(http: Any, name: str) -> Sequence[str]:  # noqa: ANN401 - AttributeContext.HttpRequest
    if http.headers:
        value = http.headers.get(name)
        return () if value is None else (value,)
    # With encode_raw_headers, Envoy sends each value separately, as octets.
    values = [each.raw_value for each in http.header_map.headers if each.key.lower() == name]
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError:
        return ()
