"""The AWS JSON face over HTTP."""

from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tokend_server.aws_json.service import DEFAULT_MAX_BODY_BYTES, AwsJsonService
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.clock import Clock
from tokend_server.engine import Engine


def aws_json_routes(
    engines: Mapping[str, Engine],
    verifier: SignatureVerifier,
    clock: Clock,
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES,
) -> list[Route]:
    """The routes of a listener of its own: every method and path is answered in AWS's form.

    Args:
        engines: The engines by identity pool id; a pool that is not here does not exist.
        verifier: Who may call.
        clock: What engines measure time with.
        max_body_bytes: The largest body that is read.
    """
    return [Route("/{path:path}", _Endpoint(AwsJsonService(engines, verifier, clock, max_body_bytes)))]


class _Endpoint:
    """An ASGI application, since a route to a function would refuse methods by itself."""

    def __init__(self, service: AwsJsonService) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        try:
            body = await self._body(request)
        except ClientDisconnect:
            return
        answer = await run_in_threadpool(self._service.answer, request.method, _target(scope), headers, body)
        await Response(answer.body, answer.status, answer.headers)(scope, receive, send)

    async def _body(self, request: Request) -> bytes:
        """The body, or its beginning if it is too large."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._service.max_body_bytes:
                break
        return bytes(body)


def _target(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    path: bytes = scope["raw_path"]
    return (path + b"?" * bool(query) + query).decode("latin-1")
