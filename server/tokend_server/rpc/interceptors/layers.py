"""Puts layers around every method: once each, not once a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor  # noqa: TC003 - it is what it looks like
from dataclasses import dataclass
from functools import wraps
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from tokend_server.errors import FieldViolation, TooManyRequests, ValidationFailed
from tokend_server.rpc.calls_in_flight import CallsInFlight  # noqa: TC001 - as above
from tokend_server.rpc.message_wait import MessageWait  # noqa: TC001 - as above

#: What answers a call: takes the request (or an iterator of requests) and the context, as grpc calls it.
Behavior = Callable[..., Any]

#: Seconds after which a call that was refused for the number of calls may be tried again.
_RETRY_AFTER = 0.5


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


@dataclass(frozen=True, slots=True)
class Threads:
    """The threads for what must take none from the calls.

    Attributes:
        streams: For methods that stream.
        refusals: For the refusal of calls beyond the most.
    """

    streams: ThreadPoolExecutor
    refusals: ThreadPoolExecutor


@dataclass(frozen=True, slots=True)
class _Handlers:
    """The two handlers of a method: for its calls, and for those that are too many."""

    answering: grpc.RpcMethodHandler[Any, Any]
    refusing: grpc.RpcMethodHandler[Any, Any] | None = None


class LayeredInterceptor(grpc.ServerInterceptor):
    """Wraps the handler of each method in layers.

    gRPC calls a unary method when its message is there, and holds a thread for it from its headers on. Here a unary
    method is called at its headers, so that who calls is known before anything is waited for.

    Args:
        layers: The layers, the outermost first.
        unknown_method: What is told of each call to a method that does not exist.
        in_flight: Counts the calls.
        message_wait: Waits for messages.
        threads: The threads besides those for calls.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        unknown_method: Callable[[], None],
        in_flight: CallsInFlight,
        message_wait: MessageWait,
        threads: Threads,
    ) -> None:
        self._layers = layers
        self._unknown_method = unknown_method
        self._in_flight = in_flight
        self._message_wait = message_wait
        self._threads = threads
        self._handlers: dict[str, _Handlers] = {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        path = handler_call_details.method
        handlers = self._handlers.get(path)
        if handlers is None:
            handler = continuation(handler_call_details)
            if handler is None:
                self._unknown_method()
                return None
            handlers = self._handlers.setdefault(path, self._wrap(path, handler))
        if handlers.refusing is None or self._in_flight.begin():
            return handlers.answering
        return handlers.refusing

    def _wrap(self, path: str, handler: grpc.RpcMethodHandler[Any, Any]) -> _Handlers:
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
            getattr(behavior, "experimental_thread_pool", None) or self._threads.streams
        )
        return _Handlers(make_handler(layered, deserializer, handler.response_serializer))

    def _wrap_unary(self, method: Method, handler: grpc.RpcMethodHandler[Any, Any]) -> _Handlers:
        behavior: Any = handler.unary_unary
        if handler.request_deserializer is not None:
            behavior = _deserializing(behavior, handler.request_deserializer)
        answer = self._in_flight.ending(self._layered(method, self._message_wait.receiving(behavior)))
        refuse = self._layered(method, _refuse)
        refuse.experimental_thread_pool = self._threads.refusals  # type: ignore[attr-defined]
        return _Handlers(
            grpc.stream_unary_rpc_method_handler(answer, None, handler.response_serializer),
            grpc.stream_unary_rpc_method_handler(refuse, None, handler.response_serializer),
        )

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


def _refuse(_requests: Any, _context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - as grpc calls it
    raise TooManyRequests("Too many calls at once.", retry_after=_RETRY_AFTER)


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
