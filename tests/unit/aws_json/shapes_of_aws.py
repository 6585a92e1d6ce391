"""Shapes as AWS's own description of the service has them."""

from typing import Any

from tokend_server.aws_json.shapes import Flag, Integer, Seconds, Shape, Text, TextList, TextMap

#: What AWS's model calls no secret and tokend never shows.
SECRET_SHAPES = {"DeveloperUserIdentifier"}


def in_awss_model(shape: Any) -> Shape:  # noqa: ANN401 - a shape of botocore
    """What a member of that shape is held to."""
    limits = shape.metadata
    match shape.type_name:
        case "string":
            assert limits["min"] == 1
            is_secret = limits.get("sensitive", False) or shape.name in SECRET_SHAPES
            return Text(limits["max"], limits.get("pattern"), is_secret)
        case "map":
            key, value = in_awss_model(shape.key), in_awss_model(shape.value)
            assert isinstance(key, Text)
            assert isinstance(value, Text)
            return TextMap(limits["max"], key, value)
        case "list":
            member = in_awss_model(shape.member)
            assert isinstance(member, Text)
            return TextList(member, limits.get("min", 0), limits.get("max"))
        case "boolean":
            return Flag()
        case "integer":
            return Integer(limits["min"], limits["max"])
        case "long":
            return Seconds(limits["min"], limits["max"])
    raise AssertionError(shape.type_name)
