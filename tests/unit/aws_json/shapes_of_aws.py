"""The shapes in AWS's own description of the service."""

from collections.abc import Callable  # noqa: TC003 - as everywhere
from typing import Any

from tokend_server.aws_json.nested_shapes import Choice, ListOf, MapOf, Structure
from tokend_server.aws_json.shapes import Flag, Integer, Seconds, Shape, Text, TextList, TextMap

#: Members that AWS's model does not mark as sensitive, but tokend never shows.
SECRET_SHAPES = {"DeveloperUserIdentifier"}


def in_awss_model(shape: Any) -> Shape:  # noqa: ANN401 - a shape of botocore
    """Returns the constraints of a member with that shape."""
    limits = shape.metadata
    made: dict[str, Callable[[], Shape]] = {
        "string": lambda: _text(shape),
        "map": lambda: _map(shape),
        "list": lambda: _list(shape),
        "structure": lambda: _structure(shape),
        "boolean": Flag,
        "integer": lambda: Integer(limits["min"], limits["max"]),
        "long": lambda: Seconds(limits["min"], limits["max"]),
    }
    return made[shape.type_name]()


def _text(shape: Any) -> Shape:  # noqa: ANN401 - as above
    if shape.enum:
        return Choice(tuple(shape.enum))
    limits = shape.metadata
    is_secret = limits.get("sensitive", False) or shape.name in SECRET_SHAPES
    return Text(limits["max"], limits.get("pattern"), is_secret, limits["min"])


def _map(shape: Any) -> Shape:  # noqa: ANN401 - as above
    key, value = in_awss_model(shape.key), in_awss_model(shape.value)
    assert isinstance(key, Text)
    if isinstance(value, Structure):
        return MapOf(shape.metadata["max"], key, value)
    assert isinstance(value, Text)
    return TextMap(shape.metadata.get("max"), key, value)


def _list(shape: Any) -> Shape:  # noqa: ANN401 - as above
    member, least, most = in_awss_model(shape.member), shape.metadata.get("min", 0), shape.metadata.get("max")
    if isinstance(member, Structure):
        return ListOf(member, least, most)
    assert isinstance(member, Text)
    return TextList(member, least, most)


def _structure(shape: Any) -> Shape:  # noqa: ANN401 - as above
    members = {name: in_awss_model(member) for name, member in shape.members.items()}
    return Structure(members, frozenset(shape.required_members))
