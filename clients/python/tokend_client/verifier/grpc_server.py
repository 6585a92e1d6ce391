"""gRPC server interceptors that require a valid token."""

from collections.abc import Awaitable, Callable, Collection, Iterator
from contextvars import copy_context
from typing import Any, NoReturn

import grpc

from tokend_client.verifier.authorization import bearer_token
from tokend_client.verifier.identity import VerifiedIdentity, set_current_identity, use_identity
from tokend_client.verifier.rejections import KeysUnavailable, NotVerified
from tokend_client.verifier.token_verifier import TokenVerifier

#: The methods of gRPC's health service: probes and clients call them without a token.
HEALTH_METHODS = ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List", "/grpc.health.v1.Health/Watch")

_END = object()


class IdentityInterceptor(grpc.ServerInterceptor):
    """Accepts calls with a valid bearer token. Others fail with UNAUTHENTICATED, or with UNAVAILABLE without keys.

    The method gets the caller from `current_identity()`.

    Args:
        verifier: Verifies the tokens.
        open_methods: Full names of methods that require no token. Their calls have no identity.
    """

    def __init__(self, verifier: TokenVerifier, *, open_methods: Collection[str] = HEALTH_METHODS) -> None:
        self._verifier = verifier
        self._open_methods = frozenset(open_methods)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], "grpc.RpcMethodHandler[Any, Any] | None"],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Makes the method verify the token, since gRPC calls the interceptor where it must not block."""
        handler = continuation(handler_call_details)
        if handler is None or handler_call_details.method in self._open_methods:
            return handler
        behavior = _behavior(handler)
        wrap = self._stream if handler.response_streaming else self._unary
        return _handler_like(handler, wrap(behavior))

    def _unary(self, behavior: Callable[..., Any]) -> Callable[..., Any]:
        def serve(request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - any message
            with use_identity(self._identity(context)):
                return behavior(request, context)

        return serve

    def _stream(self, behavior: Callable[..., Any]) -> Callable[..., Any]:
        def serve(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: ANN401 - any message
            # The steps of a generator run separately, and not in the context in which it was created.
            isolated = copy_context()
            isolated.run(set_current_identity, self._identity(context))
            responses = iter(isolated.run(behavior, request, context))
            while (response := isolated.run(next, responses, _END)) is not _END:
                yield response

        return serve

    def _identity(self, context: grpc.ServicerContext) -> VerifiedIdentity:
        try:
            return self._verifier.verify(bearer_token(_authorization(context.invocation_metadata())))
        except NotVerified as error:
            _abort(context, error)


class AsyncIdentityInterceptor(grpc.aio.ServerInterceptor):
    """`IdentityInterceptor` for `grpc.aio` servers."""

    def __init__(self, verifier: TokenVerifier, *, open_methods: Collection[str] = HEALTH_METHODS) -> None:
        self._verifier = verifier
        self._open_methods = frozenset(open_methods)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Verifies the token in the task of the call, before the method runs."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method in self._open_methods:
            return handler
        try:
            token = bearer_token(_authorization(handler_call_details.invocation_metadata))
            set_current_identity(await self._verifier.verify_async(token))
        except NotVerified as error:
            return _handler_like(handler, _rejection(handler, error))
        return handler


def _rejection(handler: "grpc.RpcMethodHandler[Any, Any]", error: NotVerified) -> Callable[..., Any]:
    code, details = _code(error), str(error)

    async def reject(_request: Any, context: Any) -> NoReturn:  # noqa: ANN401 - any message
        await context.abort(code, details)
        raise AssertionError

    async def reject_stream(_request: Any, context: Any) -> Any:  # noqa: ANN401 - any message
        await context.abort(code, details)
        yield

    return reject_stream if handler.response_streaming else reject


def _behavior(handler: "grpc.RpcMethodHandler[Any, Any]") -> Any:  # noqa: ANN401 - one of four kinds of function
    return handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream


def _handler_like(
    handler: "grpc.RpcMethodHandler[Any, Any]", behavior: Callable[..., Any]
) -> "grpc.RpcMethodHandler[Any, Any]":
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[bool(handler.request_streaming), bool(handler.response_streaming)]
    return make(
        behavior,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _authorization(metadata: Any) -> list[str]:  # noqa: ANN401 - pairs of two kinds
    return [value for name, value in metadata or () if name == "authorization"]


def _code(error: NotVerified) -> grpc.StatusCode:
    return grpc.StatusCode.UNAVAILABLE if isinstance(error, KeysUnavailable) else grpc.StatusCode.UNAUTHENTICATED


def _abort(context: grpc.ServicerContext, error: NotVerified) -> NoReturn:
    context.abort(_code(error), str(error))
    raise AssertionError
