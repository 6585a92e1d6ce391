"""Parses requests of AWS's query protocol, which are forms ("AWS query protocol", Smithy 2.0)."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tokend_server.aws_json.errors import AwsError
from tokend_server.aws_json.nested_shapes import ListOf
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.shapes import Integer, Shape

FORM_TYPE = "application/x-www-form-urlencoded"

#: The maximum number of parameters, more than any operation has.
_MAX_PARAMETERS = 256

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,10}")


def is_query(request: AwsRequest) -> bool:
    """Returns whether a request is in this protocol: a form in the body, or in the query of a GET."""
    return media_type(request) == FORM_TYPE or (request.method == "GET" and "?" in request.target)


def media_type(request: AwsRequest) -> str:
    """Returns the media type of a request's body, in lower case and without parameters."""
    return request.values.get("content-type", "").partition(";")[0].rstrip().lower()


def parse_query(request: AwsRequest) -> dict[str, str]:
    """Returns the parameters of a request, from its query and its body.

    Raises:
        AwsError: MalformedQueryString: it is not a form in UTF-8, or has a duplicate parameter.
    """
    try:
        parts = (urlsplit(request.target).query, request.body.decode("ascii"))
        pairs = [pair for part in parts if part for pair in _pairs(part)]
    except ValueError:
        raise _malformed() from None
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise _malformed()
    return parameters


def _pairs(part: str) -> list[tuple[str, str]]:
    return parse_qsl(part, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_MAX_PARAMETERS)


def _malformed() -> AwsError:
    return AwsError("MalformedQueryString", "The query string contains a syntax error.", 404)


def to_document(parameters: Mapping[str, str], members: Mapping[str, Shape]) -> dict[str, Any]:
    """Returns the members of an operation's input from parameters, in the form of JSON.

    Raises:
        AwsError: MalformedInput: a value is not a number, or the entries of a list are not numbered from 1.
    """
    found = ((name, _value(name, parameters, shape)) for name, shape in members.items())
    return {name: value for name, value in found if value is not None}


def _value(name: str, parameters: Mapping[str, str], shape: Shape) -> Any:  # noqa: ANN401 - a value of the shape
    if isinstance(shape, ListOf):
        return _list(f"{name}.member", parameters, shape) or None
    text = parameters.get(name)
    if text is None or not isinstance(shape, Integer):
        return text
    if not _WHOLE_NUMBER.fullmatch(text) or not -(2**31) <= int(text) < 2**31:
        raise AwsError("MalformedInput", f"{name} is not an Integer.")
    return int(text)


def _list(prefix: str, parameters: Mapping[str, str], shape: ListOf) -> list[dict[str, Any]]:
    numbers = {name.removeprefix(f"{prefix}.").partition(".")[0] for name in parameters if name.startswith(prefix)}
    if numbers != {str(number) for number in range(1, len(numbers) + 1)}:
        raise AwsError("MalformedInput", f"{prefix} must be numbered from 1.")
    members = shape.member.members
    return [
        {name: text for name in members if (text := parameters.get(f"{prefix}.{number}.{name}")) is not None}
        for number in range(1, len(numbers) + 1)
    ]
