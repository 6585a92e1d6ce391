"""A proxy between a store and a double of DynamoDB: it counts requests, and fails as scripted by a test."""

import http.client
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit
from zlib import crc32

from tests.fakes.cognito_script import Answer, Body, Exchange
from tests.fakes.http_connections import HttpRequest
from tests.fakes.scripted_upstream import TIMEOUT, ScriptedUpstream

from tokend_server.aws_json.wire import AwsResponse, canonical_headers
from tokend_server.engine import Engine

_CONTENT_TYPE = "application/x-amz-json-1.0"
_HEADERS = ("content-type", "x-amzn-requestid", "x-amz-crc32")


def failure(code: str, status: int = 400, **members: object) -> Body:
    """A DynamoDB error; the request has no effect."""
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "What went wrong.", **members}
    return Body(json.dumps(body).encode(), status, _CONTENT_TYPE)


def units(operation: str, asked: Mapping[str, Any]) -> int:
    """Returns the request units of a request with items of up to 1 KB each and consistent reads.

    Source: "Read and write request units" and "Capacity management for transactions" in DynamoDB's developer guide. A
        query costs one unit per 4 KB read, at least one.
    """
    match operation:
        case "GetItem" | "PutItem" | "Query":
            return 1
        case "BatchGetItem":
            return sum(len(table["Keys"]) for table in asked["RequestItems"].values())
        case "TransactGetItems" | "TransactWriteItems":
            return 2 * len(asked["TransactItems"])
    return 0


def _reported_units(content: bytes) -> float:
    consumed: Any = json.loads(content).get("ConsumedCapacity", ())
    capacities = [consumed] if isinstance(consumed, dict) else consumed
    return sum(float(each["CapacityUnits"]) for each in capacities)


def cancelled(*reasons: str) -> Body:
    """A cancelled transaction, with a reason for each of its actions."""
    return failure("TransactionCanceledException", CancellationReasons=[{"Code": reason} for reason in reasons])


@dataclass(frozen=True)
class WrongChecksum(Answer):
    """The service's own response, with a checksum that is not its own."""

    def response(self, exchange: Exchange) -> AwsResponse:
        own = exchange.answer(None)
        return own._replace(headers={**own.headers, "x-amz-crc32": str(crc32(own.body) ^ 1)})


class DynamoDbUpstream(ScriptedUpstream):
    """A double of DynamoDB behind a script.

    Args:
        endpoint_url: The double.
        remembers_tokens: Whether to repeat the response of a finished transaction by its token, for a double without
            idempotency tokens (API reference of TransactWriteItems, ClientRequestToken).
        units_from_response: Whether to use the double's count of request units, rather than the rules.

    Attributes:
        endpoint_url: The double.
        units: The request units so far, by operation.
    """

    def __init__(self, endpoint_url: str, *, remembers_tokens: bool = False, units_from_response: bool = False) -> None:
        super().__init__()
        self.endpoint_url = endpoint_url
        self._host = urlsplit(endpoint_url).netloc
        self._remembers_tokens = remembers_tokens
        self._units_from_response = units_from_response
        self._done: dict[str, AwsResponse] = {}
        self.units: defaultdict[str, float] = defaultdict(float)

    @property
    def operations(self) -> list[str]:
        """The operations that have been called so far."""
        return [request.operation for request in self.requests]

    def _answer(self, request: HttpRequest, engines: Mapping[str, Engine] | None) -> AwsResponse:
        del engines
        headers = canonical_headers(request.headers)
        operation = headers["x-amz-target"].rpartition(".")[2]
        asked = json.loads(request.body)
        token = asked.get("ClientRequestToken", "")
        if self._remembers_tokens and token in self._done:
            return self._done[token]
        if not self._units_from_response:
            answer = self._passed_on(request, headers, request.body)
            self.units[operation] += units(operation, asked)
        else:
            if units(operation, asked):
                asked["ReturnConsumedCapacity"] = "TOTAL"
            answer = self._passed_on(request, headers, json.dumps(asked).encode())
            self.units[operation] += _reported_units(answer.body)
        if token and answer.status == HTTPStatus.OK:
            self._done[token] = answer
        return answer

    def _passed_on(self, request: HttpRequest, headers: Mapping[str, str], body: bytes) -> AwsResponse:
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT)
        sent = {**headers, "content-length": str(len(body))}
        try:
            connection.request(request.method, request.target, body, sent)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return AwsResponse(
            answer.status, {name: value for name in _HEADERS if (value := answer.headers.get(name))}, content
        )
