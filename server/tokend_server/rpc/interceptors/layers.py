"""Puts layers around every method: once each, not once a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor  # noqa: TC003 - it is what it looks like
from dataclasses import dataclass
from functools import wraps
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from tokend_server.errors import FieldViolation, ValidationFailed

#: What answers a call: takes the request (or an iterator of requests) and the context, as grpc calls it.
Behavior = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a service.

    Attributes:
        service: The full name of its service.
        name: Its own name.
        kind: `unary`, `client_stream`, `server_stream` or `bidi_stream`, as metrics call it.
    """

    service: str
    name: str
    kind: str


Layer = Callable[[Method, Behavior], Behavior]


class LayeredInterceptor(grpc.ServerInterceptor):
    """Wraps the handler of each method in layers.

    Args:
        layers: The layers, the outermost first.
        unknown_method: What is told of each call to a method that does not exist.
        streams: The threads for methods that stream, so that open streams take none from other calls.
    """

    def __init__(
        self, layers: Sequence[Layer], unknown_method: Callable[[], None], streams: ThreadPoolExecutor
    ) -> None:
        self._layers = layers
        self._unknown_method = unknown_method
        self._streams = streams
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        path = handler_call_details.method
        if wrapped := self._handlers.get(path):
            return wrapped
        handler = continuation(handler_call_details)
        if handler is None:
            self._unknown_method()
            return None
        return self._handlers.setdefault(path, _wrap(path, handler, self._layers, self._streams))


def method_kind(*, request_streaming: bool, response_streaming: bool) -> str:
    """The `grpc_type` of a method, as go-grpc-middleware names it."""
    if request_streaming:
        return "bidi_stream" if response_streaming else "client_stream"
    return "server_stream" if response_streaming else "unary"


#: For each kind of method: the attribute that holds a handler's behavior, and what makes a handler of it.
_HANDLERS = {
    "unary": ("unary_unary", grpc.unary_unary_rpc_method_handler),
    "client_stream": ("stream_unary", grpc.stream_unary_rpc_method_handler),
    "server_stream": ("unary_stream", grpc.unary_stream_rpc_method_handler),
    "bidi_stream": ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


def _wrap(
    path: str, handler: grpc.RpcMethodHandler[Any, Any], layers: Sequence[Layer], streams: ThreadPoolExecutor
) -> grpc.RpcMethodHandler[Any, Any]:
    _, service, name = path.split("/")
    kind = method_kind(request_streaming=handler.request_streaming, response_streaming=handler.response_streaming)
    attribute, make_handler = _HANDLERS[kind]
    behavior, deserializer = getattr(handler, attribute), handler.request_deserializer
    if not handler.request_streaming and deserializer is not None:
        behavior, deserializer = _deserializing(behavior, deserializer), None
    for layer in reversed(layers):
        behavior = layer(Method(service, name, kind), behavior)
    if kind != "unary":
        # The attribute is what gRPC looks for; a service may have set it already.
        behavior.experimental_thread_pool = getattr(behavior, "experimental_thread_pool", None) or streams
    return make_handler(behavior, deserializer, handler.response_serializer)


def _deserializing(behavior: Behavior, deserialize: Callable[[bytes], Any]) -> Behavior:
    """Reads the request inside the layers, since gRPC itself would call a malformed one an INTERNAL error."""

    @wraps(behavior)
    def deserializing(serialized: bytes, *context: Any) -> Any:  # noqa: ANN401 - as grpc calls it
        try:
            request = deserialize(serialized)
        except DecodeError:
            raise ValidationFailed([FieldViolation("", "Request must be a serialized message of its type")]) from None
        return behavior(request, *context)

    return deserializing
