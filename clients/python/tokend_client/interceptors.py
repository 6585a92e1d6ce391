"""Calls of other services with a token: codes that tell why there is none, and another token for a rejected one."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from tokend_client.async_source import AsyncTokenSource
from tokend_client.errors import TokendError, downstream_code
from tokend_client.model import Token
from tokend_client.source import TokenSource


class NoToken(grpc.RpcError):
    """Raised by a call for which there is no token; its `__cause__` is the `TokendError`."""

    def __init__(self, error: TokendError) -> None:
        super().__init__(str(error))
        self._code = downstream_code(error)

    def code(self) -> grpc.StatusCode:
        """What `downstream_code` says."""
        return self._code

    def details(self) -> str:
        """Why there is no token."""
        return str(self)

    def trailing_metadata(self) -> tuple[()]:
        """None: nothing was called."""
        return ()


class TokenInterceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Sends the source's token with each call of a channel, as `authorization: Bearer TOKEN`.

    A call waits for the token within its own deadline, and fails with `NoToken` if there is none. A call of one request
    and one response is made once more with a new token when it ends with UNAUTHENTICATED; one by `future` therefore
    returns when it has ended. Of other calls the token is dropped then, and the next call has a new one. gRPC sends the
    token over TLS and, with `grpc.local_channel_credentials`, within the machine.

    Args:
        source: Where tokens come from.
    """

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    def intercept_unary_unary(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:  # noqa: ANN401
        deadline = _Deadline(client_call_details.timeout)
        issued = self._token(deadline)
        call = continuation(_attached(client_call_details, issued, deadline), request)
        if call.code() is not grpc.StatusCode.UNAUTHENTICATED:
            return call
        self._source.invalidate(issued.value)
        return continuation(_attached(client_call_details, self._token(deadline), deadline), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:  # noqa: ANN401
        return self._once(continuation, client_call_details, request)

    def intercept_stream_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: Any,  # noqa: ANN401
        request_iterator: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        return self._once(continuation, client_call_details, request_iterator)

    def intercept_stream_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: Any,  # noqa: ANN401
        request_iterator: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        return self._once(continuation, client_call_details, request_iterator)

    def _once(self, continuation: Callable[..., Any], details: Any, sent: Any) -> Any:  # noqa: ANN401
        deadline = _Deadline(details.timeout)
        issued = self._token(deadline)
        call = continuation(_attached(details, issued, deadline), sent)
        call.add_done_callback(partial(self._drop_if_rejected, issued))
        return call

    def _drop_if_rejected(self, issued: Token, call: Any) -> None:  # noqa: ANN401
        if call.code() is grpc.StatusCode.UNAUTHENTICATED:
            self._source.invalidate(issued.value)

    def _token(self, deadline: "_Deadline") -> Token:
        try:
            return self._source.token(deadline.remaining())
        except TokendError as error:
            raise NoToken(error) from error


class AsyncTokenInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """The twin of `TokenInterceptor` for calls of one request and one response of a `grpc.aio` channel.

    Without a token, a call fails with `grpc.aio.AioRpcError`, whose `__cause__` is the `TokendError`.
    """

    def __init__(self, source: AsyncTokenSource) -> None:
        self._source = source

    async def intercept_unary_unary(
        self,
        continuation: Callable[..., Awaitable[Any]],
        client_call_details: Any,  # noqa: ANN401
        request: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        deadline = _Deadline(client_call_details.timeout)
        issued = await self._token(deadline)
        call = await continuation(_attached(client_call_details, issued, deadline), request)
        if await call.code() is not grpc.StatusCode.UNAUTHENTICATED:
            return call
        self._source.invalidate(issued.value)
        return await continuation(_attached(client_call_details, await self._token(deadline), deadline), request)

    async def _token(self, deadline: "_Deadline") -> Token:
        try:
            return await self._source.token(deadline.remaining())
        except TokendError as error:
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(downstream_code(error), nothing, nothing, str(error)) from error


class _Deadline:
    def __init__(self, timeout: float | None) -> None:
        self._at = None if timeout is None else time.monotonic() + timeout

    def remaining(self) -> float | None:
        return None if self._at is None else max(self._at - time.monotonic(), 0.0)


@dataclass(frozen=True, slots=True)
class _Details(grpc.ClientCallDetails):
    """What gRPC reads by these names."""

    method: Any
    timeout: float | None
    metadata: Any
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: Any


def _attached(details: Any, issued: Token, deadline: _Deadline) -> Any:  # noqa: ANN401
    bearer = grpc.access_token_call_credentials(issued.value)
    credentials = grpc.composite_call_credentials(details.credentials, bearer) if details.credentials else bearer
    return _Details(
        details.method,
        deadline.remaining(),
        details.metadata,
        credentials,
        details.wait_for_ready,
        getattr(details, "compression", None),
    )
