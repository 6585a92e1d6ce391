"""Responses of AWS's query protocol: XML, or JSON if the client accepts it ("AWS query protocol", Smithy 2.0).

AWS does not document JSON responses, but clients rely on them, such as Envoy, which supports no other format.
"""

import html
import re
from collections.abc import Iterator, Mapping
from datetime import datetime

import orjson

from tokend_server.aws_json.errors import AwsError
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.shaped import Output
from tokend_server.aws_json.wire import AwsResponse

_JSON = "application/json"

#: Characters that XML 1.0 cannot represent (section 2.2, Char).
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def result_response(
    request: AwsRequest, operation: str, namespace: str, output: Output, request_id: str
) -> AwsResponse:
    """Returns the response with an operation's output, whose values are strings, numbers, times or nested maps.

    Args:
        request: The request, with the accepted format of the response.
        operation: The name of the operation.
        namespace: The default namespace of XML.
        output: The members of the output.
        request_id: The id of the request.
    """
    root = f"{operation}Response"
    content = {f"{operation}Result": output or {}, "ResponseMetadata": {"RequestId": request_id}}
    if _wants_json(request):
        return _json_response({root: content}, request_id)
    return _xml_response(root, namespace, content, request_id)


def fault_response(request: AwsRequest, namespace: str, error: AwsError, request_id: str) -> AwsResponse:
    """Returns the response for a failure."""
    kind = "Receiver" if error.status >= 500 else "Sender"  # noqa: PLR2004 - HTTP
    fault = {"Type": kind, "Code": error.code, "Message": error.message}
    content = {"Error": fault, "RequestId": request_id}
    if _wants_json(request):
        return _json_response(content, request_id, error.status)
    return _xml_response("ErrorResponse", namespace, content, request_id, error.status)


def _wants_json(request: AwsRequest) -> bool:
    """Returns whether the first format that the client accepts is JSON (RFC 9110, section 12.5.1), without weights."""
    named = (part.partition(";")[0].strip().lower() for part in request.values.get("accept", "").split(","))
    return next((name == _JSON for name in named if name in {_JSON, "text/xml", "application/xml"}), False)


def _json_response(content: Mapping[str, object], request_id: str, status: int = 200) -> AwsResponse:
    body = orjson.dumps(content, default=_seconds, option=orjson.OPT_PASSTHROUGH_DATETIME)
    return AwsResponse(status, {"content-type": _JSON, "x-amzn-requestid": request_id}, body)


def _seconds(value: object) -> int:
    if isinstance(value, datetime):
        return int(value.timestamp())
    raise TypeError


def _xml_response(
    root: str, namespace: str, content: Mapping[str, object], request_id: str, status: int = 200
) -> AwsResponse:
    body = f'<{root} xmlns="{namespace}">{"".join(_elements(content))}</{root}>\n'
    return AwsResponse(status, {"content-type": "text/xml", "x-amzn-requestid": request_id}, body.encode())


def _elements(content: Mapping[str, object]) -> Iterator[str]:
    for name, value in content.items():
        yield f"<{name}>{_inner(value)}</{name}>"


def _inner(value: object) -> str:
    if isinstance(value, Mapping):
        return "".join(_elements(value))
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    # XML parsers read a literal carriage return as a line feed (XML 1.0, section 2.11).
    return html.escape(_NO_XML.sub("\ufffd", str(value)), quote=False).replace("\r", "&#13;")
