"""Wraps every method in layers when it is registered, instead of at each call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from tokend_server.errors import FieldViolation, ValidationFailed
from tokend_server.rpc.call import Call, current_call
from tokend_server.rpc.grpc_internals import CallPool, run_in_pool
from tokend_server.rpc.message_wait import MessageWait  # noqa: TC001 - imported as in other files, for annotations too
from tokend_server.rpc.worker_pool import WorkerPool  # noqa: TC001 - imported as in other files, for annotations too

#: Answers a call: takes the request (or an iterator of requests) and the context, as grpc calls it.
Behavior = Callable[..., Any]

_Deserialize: TypeAlias = Callable[[bytes], Any]


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
    def has_response_stream(self) -> bool:
        """Whether it may have several responses, and so continues after its behavior has returned."""
        return self.kind in {"server_stream", "bidi_stream"}

    @property
    def path(self) -> str:
        """Its path in HTTP/2."""
        return f"/{self.service}/{self.name}"


Layer = Callable[[Method, Behavior], Behavior]


def layered(method: Method, behavior: Behavior, layers: Sequence[Layer]) -> Behavior:
    """Returns a method's behavior wrapped in layers, the outermost first."""
    for layer in reversed(layers):
        behavior = layer(method, behavior)
    return behavior


#: Checks a call, and raises an error if it is refused.
Check = Callable[[Call, grpc.ServicerContext], object]


class LayeredRegistry:
    """A registry for services that takes the place of a server, and wraps the handler of each method in layers.

    An interceptor would do the same work at each call, through gRPC's pipeline of interceptors.

    gRPC calls a unary method when its message has been received, and occupies a thread from its headers on. Here the
    method is called at its headers, so that the caller is identified before the thread waits for the message.

    Args:
        server: The server to which the wrapped handlers are added.
        layers: The layers, the outermost first.
        message_wait: Waits for messages.
        threads: Returns the threads for a method; streams have separate threads.
        in_line: Returns the pool that queues the listener's calls for such threads.
    """

    def __init__(
        self,
        server: grpc.Server,
        layers: Sequence[Layer],
        message_wait: MessageWait,
        threads: Callable[[Method], WorkerPool],
        in_line: Callable[[WorkerPool], CallPool],
    ) -> None:
        self._server = server
        self._layers = layers
        self._message_wait = message_wait
        self._threads = threads
        self._in_line = in_line

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Adds methods as `grpc.Server` does; called by generated code."""
        wrapped = {name: self._wrap(service_name, name, handler) for name, handler in method_handlers.items()}
        self._server.add_registered_method_handlers(service_name, wrapped)

    def add_generic_rpc_handlers(self, _handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Ignores the handlers, which generated code adds for servers without registered methods."""

    def _wrap(
        self, service: str, name: str, handler: grpc.RpcMethodHandler[Any, Any]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        kind = method_kind(request_streaming=handler.request_streaming, response_streaming=handler.response_streaming)
        method = Method(service, name, kind)
        threads = self._threads(method)
        behavior, deserialize = _behavior(handler), handler.request_deserializer
        if handler.request_streaming:
            behavior = self._message_wait.receiving_each(_deserializing_each(behavior, deserialize), threads)
        else:
            behavior = self._message_wait.receiving(_deserializing(behavior, deserialize), threads)
        within = layered(method, behavior, self._layers)
        run_in_pool(self._in_line(threads), within)
        within.path = method.path  # type: ignore[attr-defined] # for those who see nothing of a call but its behavior
        make_handler = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        return make_handler(within, None, handler.response_serializer)


class OtherMethods(grpc.GenericRpcHandler):
    """Answers the calls of methods that belong to no service.

    Args:
        unknown_method: Ends the calls to methods that do not exist.
        bare: Handlers of methods without layers, by their paths.
    """

    def __init__(self, unknown_method: Behavior, bare: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        # It fits methods of any kind: no message is read and no response is sent.
        self._unknown_method: grpc.RpcMethodHandler[Any, Any] = grpc.stream_unary_rpc_method_handler(unknown_method)
        self._bare = bare

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        return self._bare.get(handler_call_details.method, self._unknown_method)


def checking(*checks_of: Callable[[Method], Check]) -> Layer:
    """Returns a layer that runs checks in order; a call whose check raises does not reach the method.

    Args:
        checks_of: Functions that make the checks of a method.
    """

    def layer(method: Method, behavior: Behavior) -> Behavior:
        checks = tuple(check_of(method) for check_of in checks_of)

        @wraps(behavior)
        def checked(request: Any, context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as grpc calls it
            call = current_call()
            for check in checks:
                check(call, context)
            return behavior(request, context, *rest)

        return checked

    return layer


def method_kind(*, request_streaming: bool, response_streaming: bool) -> str:
    """Returns the `grpc_type` of a method, as go-grpc-middleware names it."""
    if request_streaming:
        return "bidi_stream" if response_streaming else "client_stream"
    return "server_stream" if response_streaming else "unary"


def _behavior(handler: grpc.RpcMethodHandler[Any, Any]) -> Behavior:
    """Returns the only behavior of a handler."""
    behavior: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    return behavior  # type: ignore[no-any-return] # one of them is set


def _deserializing(behavior: Behavior, deserialize: _Deserialize | None) -> Behavior:
    """Deserializes the request inside the layers: gRPC itself would report a malformed request as INTERNAL."""
    if deserialize is None:
        return behavior

    @wraps(behavior)
    def deserializing(serialized: bytes, *context: Any) -> Any:  # noqa: ANN401 - as grpc calls it
        return behavior(deserialized(serialized, deserialize), *context)

    return deserializing


def _deserializing_each(behavior: Behavior, deserialize: _Deserialize | None) -> Behavior:
    """As `_deserializing`, for each message of a stream."""
    if deserialize is None:
        return behavior

    @wraps(behavior)
    def deserializing(messages: Iterable[bytes], context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - as grpc calls it
        return behavior((deserialized(message, deserialize) for message in messages), context)

    return deserializing


def deserialized(serialized: bytes, deserialize: _Deserialize) -> Any:  # noqa: ANN401 - a message of any type
    """Deserializes a client's message.

    Raises:
        ValidationFailed: It is not a message of its type.
    """
    try:
        return deserialize(serialized)
    except DecodeError:
        malformed = ValidationFailed([FieldViolation("", "Request must be a serialized message of its type")])
        malformed.misuse = True
        raise malformed from None
