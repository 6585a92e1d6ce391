"""Puts layers around every method: once each, not once a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor  # noqa: TC003 - it is what it looks like
from dataclasses import dataclass
from functools import wraps
from types import MappingProxyType
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from tokend_server.errors import FieldViolation, ValidationFailed
from tokend_server.rpc.message_wait import MessageWait  # noqa: TC001 - as above

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

    @property
    def path(self) -> str:
        """Its path in HTTP/2."""
        return f"/{self.service}/{self.name}"


Layer = Callable[[Method, Behavior], Behavior]


class LayeredInterceptor(grpc.ServerInterceptor):
    """Wraps the handler of each method in layers.

    gRPC calls a unary method when its message is there, and holds a thread for it from its headers on. Here a unary
    method is called at its headers, so that who calls is known before anything is waited for.

    Args:
        layers: The layers, the outermost first.
        unknown_method: Ends the calls to methods that do not exist.
        message_wait: Waits for messages.
        streams: The threads for methods that stream, so that open streams take none from other calls.
        bare: Handlers of methods that have no layers, by their paths.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        unknown_method: Behavior,
        message_wait: MessageWait,
        streams: ThreadPoolExecutor,
        bare: Mapping[str, grpc.RpcMethodHandler[Any, Any]] = MappingProxyType({}),
    ) -> None:
        self._layers = layers
        # Of any kind: its messages are not read, and it has no response.
        self._unknown_method: grpc.RpcMethodHandler[Any, Any] = grpc.stream_unary_rpc_method_handler(unknown_method)
        self._message_wait = message_wait
        self._streams = streams
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = dict(bare)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        path = handler_call_details.method
        if wrapped := self._handlers.get(path):
            return wrapped
        handler = continuation(handler_call_details)
        if handler is None:
            return self._unknown_method
        return self._handlers.setdefault(path, self._wrap(path, handler))

    def _wrap(self, path: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        _, service, name = path.split("/")
        kind = method_kind(request_streaming=handler.request_streaming, response_streaming=handler.response_streaming)
        method = Method(service, name, kind)
        if kind == "unary":
            return self._wrap_unary(method, handler)
        attribute, make_handler = _STREAMING_HANDLERS[kind]
        behavior, deserializer = getattr(handler, attribute), handler.request_deserializer
        if not handler.request_streaming and deserializer is not None:
            behavior, deserializer = _deserializing(behavior, deserializer), None
        layered = self._layered(method, behavior)
        # The attribute is what gRPC looks for; a service may have set it already.
        layered.experimental_thread_pool = (  # type: ignore[attr-defined]
            getattr(behavior, "experimental_thread_pool", None) or self._streams
        )
        return make_handler(layered, deserializer, handler.response_serializer)

    def _wrap_unary(self, method: Method, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        behavior: Any = handler.unary_unary
        if handler.request_deserializer is not None:
            behavior = _deserializing(behavior, handler.request_deserializer)
        layered = self._layered(method, self._message_wait.receiving(behavior))
        return grpc.stream_unary_rpc_method_handler(layered, None, handler.response_serializer)

    def _layered(self, method: Method, behavior: Behavior) -> Behavior:
        for layer in reversed(self._layers):
            behavior = layer(method, behavior)
        return behavior


def method_kind(*, request_streaming: bool, response_streaming: bool) -> str:
    """The `grpc_type` of a method, as go-grpc-middleware names it."""
    if request_streaming:
        return "bidi_stream" if response_streaming else "client_stream"
    return "server_stream" if response_streaming else "unary"


#: For each kind of streaming method: the attribute that holds a handler's behavior, and what makes a handler of it.
_STREAMING_HANDLERS: Mapping[str, tuple[str, Callable[..., grpc.RpcMethodHandler[Any, Any]]]] = {
    "client_stream": ("stream_unary", grpc.stream_unary_rpc_method_handler),
    "server_stream": ("unary_stream", grpc.unary_stream_rpc_method_handler),
    "bidi_stream": ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


def _deserializing(behavior: Behavior, deserialize: Callable[[bytes], Any]) -> Behavior:
    """Reads the request inside the layers, since gRPC itself would call a malformed one an INTERNAL error."""

    @wraps(behavior)
    def deserializing(serialized: bytes, *context: Any) -> Any:  # noqa: ANN401 - as grpc calls it
        try:
            request = deserialize(serialized)
        except DecodeError:
            malformed = ValidationFailed([FieldViolation("", "Request must be a serialized message of its type")])
            malformed.in_vain = True
            raise malformed from None
        return behavior(request, *context)

    return deserializing
