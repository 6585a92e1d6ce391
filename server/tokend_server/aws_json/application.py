"""Cognito's own API over HTTP."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from http import HTTPStatus

from tokend_server.aws_json.calls import Calls
from tokend_server.aws_json.query import is_query
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.wire import AwsResponse, canonical_headers
from tokend_server.errors import TooManyRequests
from tokend_server.web.message import Request, Response
from tokend_server.web.site import CORS_HEADERS

#: The maximum size of a body: it allows every valid request, although JSON may need twelve bytes for a character.
_MAX_BODY_BYTES = 6_553_600

#: The headers that let scripts of any web site read a response, as at AWS (Fetch Standard, section 3.3.3).
_CORS = {
    **CORS_HEADERS,
    "access-control-expose-headers": "x-amzn-RequestId,x-amzn-ErrorType,x-amzn-ErrorMessage,Date",
}

#: The headers that let scripts send the requests of AWS's SDKs, for as long as at AWS (Fetch Standard, section 3.3.2).
_PREFLIGHT = {
    **_CORS,
    "access-control-allow-headers": "*,Authorization,Content-Type,X-Amz-Date,X-Amz-Security-Token,X-Amz-Target,"
    "X-Amz-User-Agent,X-Amz-Content-Sha256,amz-sdk-invocation-id,amz-sdk-request",
    "access-control-allow-methods": "POST",
    "access-control-max-age": "172800",
}


class AwsJsonApplication:
    """Answers every method and path in AWS's format.

    Args:
        cognito: Answers requests; it waits for engines.
        sts: Answers requests in the query protocol.
        threads: The threads that run them.
        max_calls: The maximum number of requests that run or wait; further ones are refused at once.
        on_refusal: Called for each refused request.
        max_body_bytes: The maximum size of a body.
    """

    methods: frozenset[str] | None = None

    def __init__(  # noqa: PLR0913 - all its parts
        self,
        cognito: Calls,
        sts: Calls,
        threads: Executor,
        *,
        max_calls: int,
        on_refusal: Callable[[], object],
        max_body_bytes: int = _MAX_BODY_BYTES,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self._cognito = cognito
        self._sts = sts
        self._threads = threads
        self._max_calls = max_calls
        self._on_refusal = on_refusal
        self._in_flight = 0
        self._preflight = Response(HTTPStatus.OK, _PREFLIGHT)

    def respond(self, request: Request) -> Response | asyncio.Future[Response]:
        if request.method == "OPTIONS":
            return self._preflight
        aws_request = _to_aws_request(request)
        calls = self._calls_for(aws_request)
        if self._in_flight >= self._max_calls:
            self._on_refusal()
            return _to_http_response(calls.refuse(aws_request, TooManyRequests("Too many calls at once.")))
        self._in_flight += 1
        answer = asyncio.get_running_loop().run_in_executor(self._threads, _answer, calls, aws_request, calls.arrival())
        answer.add_done_callback(self._on_done)
        return answer

    def refuse(self, status: HTTPStatus, request: Request) -> Response:
        aws_request = _to_aws_request(request)
        return _to_http_response(self._calls_for(aws_request).refuse_malformed(aws_request, status))

    def _calls_for(self, aws_request: AwsRequest) -> Calls:
        return self._sts if is_query(aws_request) else self._cognito

    def _on_done(self, _answer: asyncio.Future[Response]) -> None:
        self._in_flight -= 1


def _answer(calls: Calls, request: AwsRequest, arrived: float) -> Response:
    return _to_http_response(calls.answer(request, arrived))


def _to_aws_request(request: Request) -> AwsRequest:
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.items()]
    return AwsRequest(request.method, request.target, canonical_headers(headers), request.body, request.peer)


def _to_http_response(answer: AwsResponse) -> Response:
    return Response(HTTPStatus(answer.status), {**_CORS, **answer.headers}, answer.body)
