"""What Envoy has verified of a request, and where its CheckRequest has it."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

#: Reads a value from the attributes of a CheckRequest (envoy.service.auth.v3.AttributeContext); None: it has none.
ReadValue: TypeAlias = Callable[[Any], str | None]

#: What separates the values of a header that is there more than once (RFC 9110, section 5.3).
_SEPARATOR = ","

#: Whole numbers up to it are the same in every reader of JSON (RFC 8259, section 6).
_LARGEST_WHOLE = 2**53 - 1


def from_metadata(namespace: str, keys: Sequence[str]) -> ReadValue:
    """Reads a text, a whole number or a truth value that keys lead to in the dynamic metadata of a filter."""
    *outer, last = keys

    def read(attributes: Any) -> str | None:  # noqa: ANN401 - a message
        struct = attributes.metadata_context.filter_metadata.get(namespace)
        for key in outer:
            value = None if struct is None else struct.fields.get(key)
            struct = None if value is None else value.struct_value  # of what is none: one without fields
        value = None if struct is None else struct.fields.get(last)
        return None if value is None else value.string_value or _other_text(value)

    return read


def _other_text(value: Any) -> str | None:  # noqa: ANN401 - a google.protobuf.Value
    """What a value is as a text that is no string."""
    match value.WhichOneof("kind"):
        case "number_value" if math.isfinite(number := value.number_value) and number == int(number):
            return str(int(number)) if abs(number) <= _LARGEST_WHOLE else None
        case "bool_value":
            return "true" if value.bool_value else "false"
    return None


def from_header(name: str) -> ReadValue:
    """Reads a header that is there once, with one value.

    Envoy joins the values of one that is there several times by commas. One of them may be a client's, so a value with
    a comma is none.
    """

    def read(attributes: Any) -> str | None:  # noqa: ANN401 - a message
        values = _values(attributes.request.http, name)
        return values[0] if len(values) == 1 and values[0] and _SEPARATOR not in values[0] else None

    return read


def _values(http: Any, name: str) -> Sequence[str]:  # noqa: ANN401 - AttributeContext.HttpRequest
    if http.headers:
        value = http.headers.get(name)
        return () if value is None else (value,)
    # With encode_raw_headers, Envoy sends each of them by itself, as octets.
    values = [each.raw_value for each in http.header_map.headers if each.key.lower() == name]
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError:
        return ()
