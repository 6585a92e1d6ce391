"""Requests and responses in AWS JSON 1.1."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import orjson

from tokend_server.aws_json.errors import AwsError

CONTENT_TYPE = "application/x-amz-json-1.1"

#: Names and values in their order, decoded as Latin-1, which preserves every byte.
Headers: TypeAlias = Sequence[tuple[str, str]]

#: Texts that a header can contain (RFC 9110, section 5.5), and that are short enough for clients' limits.
_HEADER_TEXT = re.compile(r"(?=.{1,2048}\Z)[!-~](?:[ -~]*[!-~])?")


class AwsResponse(NamedTuple):
    """A response without `content-length` and `date`, which the sender adds.

    Attributes:
        status: The HTTP status.
        headers: The headers: names in lower case, and values.
        body: JSON, or empty for an operation without output.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


def canonical_headers(headers: Headers) -> dict[str, str]:
    """Returns the headers by name in lower case, in the canonical form of Signature Version 4.

    Values are trimmed, white space in them is collapsed, and the values of a repeated header are joined with commas
    (RFC 9110, section 5.2).
    """
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(" ".join(re.findall(r"[^ \t]+", value)))
    return {name: ",".join(parts) for name, parts in values.items()}


def success_response(output: Mapping[str, object] | None, request_id: str) -> AwsResponse:
    """Returns the response with an operation's output; None for no output."""
    body = b"" if output is None else orjson.dumps(output)
    return AwsResponse(200, {"content-type": CONTENT_TYPE, "x-amzn-requestid": request_id}, body)


def error_response(error: AwsError, request_id: str) -> AwsResponse:
    """Returns the response for a failure.

    The text is in the body, and in the header `x-amzn-errormessage` if a header can contain it.
    """
    headers = {"content-type": CONTENT_TYPE, "x-amzn-requestid": request_id, "x-amzn-errortype": f"{error.code}:"}
    if _HEADER_TEXT.fullmatch(error.message):
        headers["x-amzn-errormessage"] = error.message
    return AwsResponse(error.status, headers, orjson.dumps({"__type": error.code, "message": error.message}))
