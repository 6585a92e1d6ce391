"""The AWS JSON face over HTTP."""

import asyncio
import uuid
from concurrent.futures import Executor
from http import HTTPStatus

from tokend_server.aws_json.errors import AwsError, internal_error
from tokend_server.aws_json.service import AwsJsonService
from tokend_server.aws_json.wire import AwsResponse, error_response
from tokend_server.web.message import Request, Response

#: Bytes that hold every request within the limits, though JSON may write a character in twelve.
_MAX_BODY_BYTES = 6_553_600


class AwsJsonApplication:
    """Answers every method and path in AWS's form.

    Args:
        service: What answers.
        threads: Where it does; it waits for engines.
        max_body_bytes: The largest body that is read.
    """

    methods: frozenset[str] | None = None

    def __init__(self, service: AwsJsonService, threads: Executor, max_body_bytes: int = _MAX_BODY_BYTES) -> None:
        self.max_body_bytes = max_body_bytes
        self._service = service
        self._threads = threads

    def respond(self, request: Request) -> asyncio.Future[Response]:
        return asyncio.get_running_loop().run_in_executor(self._threads, self._answer, request)

    def refuse(self, status: HTTPStatus) -> Response:
        return _rendered(error_response(_refusal(status), str(uuid.uuid4())))

    def _answer(self, request: Request) -> Response:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.items()]
        return _rendered(self._service.answer(request.method, request.target, headers, request.body))


def _refusal(status: HTTPStatus) -> AwsError:
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        return internal_error()
    if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return AwsError("RequestEntityTooLargeException", "The request body is too large.", status)
    return AwsError("UnknownOperationException", f"The request is no request of HTTP/1.1: {status.phrase}.", status)


def _rendered(answer: AwsResponse) -> Response:
    return Response(HTTPStatus(answer.status), answer.headers, answer.body)
