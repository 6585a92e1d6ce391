"""Interceptors for calls to other services: they attach a token, replace a rejected one, and set codes for failures."""

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
        """The result of `downstream_code`."""
        return self._code

    def details(self) -> str:
        """Why there is no token."""
        return str(self)

    def trailing_metadata(self) -> tuple[()]:
        """None: no call was sent."""
        return ()


class TokenInterceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Sends the source's token with each call of a channel, as `authorization: Bearer TOKEN`.

    A call waits for the token within its own deadline, and fails with `NoToken` if there is none. When a unary call
    ends with UNAUTHENTICATED, it is retried once with a new token; `future` therefore returns only when the call has
    ended. When a streaming call ends so, the token is dropped, and the next call gets a new one.

    Args:
        source: The source of the tokens.
        plaintext: Also send the token on channels without TLS, where anyone who can read the traffic gets it. By
            default, gRPC sends the token over TLS and, with `grpc.local_channel_credentials`, within the machine; on
            other channels, calls fail with UNAUTHENTICATED and are not sent.
    """

    def __init__(self, source: TokenSource, *, plaintext: bool = False) -> None:
        self._source = source
        self._plaintext = plaintext

    def intercept_unary_unary(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:  # noqa: ANN401
        deadline = _Deadline(client_call_details.timeout)
        bearer = self._bearer(deadline)
        call = continuation(bearer.attach_to(client_call_details, deadline), request)
        if call.code() is not grpc.StatusCode.UNAUTHENTICATED:
            return call
        if not bearer.was_sent:
            error = _no_tls_error()
            raise NoToken(error) from error
        self._source.invalidate(bearer.value)
        return continuation(self._bearer(deadline).attach_to(client_call_details, deadline), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:  # noqa: ANN401
        return self._call_once(continuation, client_call_details, request)

    def intercept_stream_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: Any,  # noqa: ANN401
        request_iterator: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        return self._call_once(continuation, client_call_details, request_iterator)

    def intercept_stream_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: Any,  # noqa: ANN401
        request_iterator: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        return self._call_once(continuation, client_call_details, request_iterator)

    def _call_once(self, continuation: Callable[..., Any], details: Any, sent: Any) -> Any:  # noqa: ANN401
        deadline = _Deadline(details.timeout)
        bearer = self._bearer(deadline)
        call = continuation(bearer.attach_to(details, deadline), sent)
        call.add_done_callback(partial(self._drop_if_rejected, bearer))
        return call

    def _drop_if_rejected(self, bearer: "_Bearer", call: Any) -> None:  # noqa: ANN401
        if call.code() is grpc.StatusCode.UNAUTHENTICATED and bearer.was_sent:
            self._source.invalidate(bearer.value)

    def _bearer(self, deadline: "_Deadline") -> "_Bearer":
        try:
            issued = self._source.token(deadline.remaining())
        except TokendError as error:
            raise NoToken(error) from error
        return _Bearer(issued, plaintext=self._plaintext)


class AsyncTokenInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """`TokenInterceptor` for unary calls on a `grpc.aio` channel.

    Without a token, a call fails with `grpc.aio.AioRpcError`, whose `__cause__` is the `TokendError`.
    """

    def __init__(self, source: AsyncTokenSource, *, plaintext: bool = False) -> None:
        self._source = source
        self._plaintext = plaintext

    async def intercept_unary_unary(
        self,
        continuation: Callable[..., Awaitable[Any]],
        client_call_details: Any,  # noqa: ANN401
        request: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        deadline = _Deadline(client_call_details.timeout)
        bearer = await self._bearer(deadline)
        try:
            call = await continuation(bearer.attach_to(client_call_details, deadline), request)
        except grpc.aio.UsageError as usage:
            # An insecure channel of grpc.aio raises this, but a closed channel does, too.
            if "credentials" not in str(usage):
                raise
            error = _no_tls_error()
            raise _to_rpc_error(error) from error
        if await call.code() is not grpc.StatusCode.UNAUTHENTICATED:
            return call
        if not bearer.was_sent:
            error = _no_tls_error()
            raise _to_rpc_error(error) from error
        self._source.invalidate(bearer.value)
        return await continuation((await self._bearer(deadline)).attach_to(client_call_details, deadline), request)

    async def _bearer(self, deadline: "_Deadline") -> "_Bearer":
        try:
            issued = await self._source.token(deadline.remaining())
        except TokendError as error:
            raise _to_rpc_error(error) from error
        return _Bearer(issued, plaintext=self._plaintext)


def _to_rpc_error(error: TokendError) -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(downstream_code(error), nothing, nothing, str(error))


def _no_tls_error() -> TokendError:
    text = "The token is not sent on a channel without TLS: use TLS, or set plaintext=True."
    return TokendError(text, grpc.StatusCode.UNAUTHENTICATED)


class _Deadline:
    def __init__(self, timeout: float | None) -> None:
        self._at = None if timeout is None else time.monotonic() + timeout

    def remaining(self) -> float | None:
        return None if self._at is None else max(self._at - time.monotonic(), 0.0)


@dataclass(frozen=True, slots=True)
class _Details(grpc.ClientCallDetails):
    """Call details, with the attributes that gRPC reads."""

    method: Any
    timeout: float | None
    metadata: Any
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: Any


class _Bearer(grpc.AuthMetadataPlugin):
    """A token on one call: as credentials, which gRPC requests if the channel is secure, or as plain metadata.

    Attributes:
        value: The token.
        was_sent: Whether it was sent with the call.
    """

    def __init__(self, issued: Token, *, plaintext: bool) -> None:
        self.value = issued.value
        self.was_sent = plaintext
        self._plaintext = plaintext
        self._metadata = (("authorization", f"Bearer {issued.value}"),)

    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        del context
        self.was_sent = True
        callback(self._metadata, None)

    def attach_to(self, details: Any, deadline: _Deadline) -> Any:  # noqa: ANN401
        """Returns the details of a call, with the token and the remaining time."""
        metadata, credentials = details.metadata, details.credentials
        if self._plaintext:
            both = (*(metadata or ()), *self._metadata)
            metadata = grpc.aio.Metadata(*both) if isinstance(metadata, grpc.aio.Metadata) else both
        else:
            bearer = grpc.metadata_call_credentials(self)
            credentials = grpc.composite_call_credentials(credentials, bearer) if credentials else bearer
        return _Details(
            details.method,
            deadline.remaining(),
            metadata,
            credentials,
            details.wait_for_ready,
            getattr(details, "compression", None),
        )
