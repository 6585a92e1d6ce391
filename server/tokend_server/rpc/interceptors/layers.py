"""Puts layers around every method: once each, not once a call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from tokend_server.errors import FieldViolation, ValidationFailed
from tokend_server.rpc.call import Call, current_call
from tokend_server.rpc.grpc_internals import CallPool, work_in
from tokend_server.rpc.message_wait import MessageWait  # noqa: TC001 - imported as in other files, for annotations too
from tokend_server.rpc.worker_pool import WorkerPool  # noqa: TC001 - imported as in other files, for annotations too

#: What answers a call: takes the request (or an iterator of requests) and the context, as grpc calls it.
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
    def answers_with_stream(self) -> bool:
        """Whether it may have several responses, and goes on when its behavior has returned."""
        return self.kind in {"server_stream", "bidi_stream"}

    @property
    def path(self) -> str:
        """Its path in HTTP/2."""
        return f"/{self.service}/{self.name}"


Layer = Callable[[Method, Behavior], Behavior]


def layered(method: Method, behavior: Behavior, layers: Sequence[Layer]) -> Behavior:
    """A method's behavior within layers, the outermost first."""
    for layer in reversed(layers):
        behavior = layer(method, behavior)
    return behavior


#: Looks at a call, and raises where it is not to be worked on.
Check = Callable[[Call, grpc.ServicerContext], object]


class LayeredRegistry:
    """What services are added to in the place of a server: it wraps the handler of each method in layers.

    An interceptor would be asked at each call, through gRPC's pipeline of them, for what never changes.

    gRPC calls a method with one request when its message is there, and holds a thread for it from its headers on. Here
    it is called at its headers, so that who calls is known before anything is waited for.

    Args:
        server: The server that gets the wrapped handlers.
        layers: The layers, the outermost first.
        message_wait: Waits for messages.
        threads: Which threads work on a method; those of streams take none from other calls.
        in_line: What puts the calls of the listener into lines for such threads.
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
        """As of `grpc.Server`, by which generated code adds each method."""
        wrapped = {name: self._wrap(service_name, name, handler) for name, handler in method_handlers.items()}
        self._server.add_registered_method_handlers(service_name, wrapped)

    def add_generic_rpc_handlers(self, _handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Takes nothing: they are what generated code adds for servers that register no methods."""

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
        work_in(self._in_line(threads), within)
        within.path = method.path  # type: ignore[attr-defined] # for those who see nothing of a call but its behavior
        make_handler = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        return make_handler(within, None, handler.response_serializer)


class OtherMethods(grpc.GenericRpcHandler):
    """Answers the calls of methods that no service has.

    Args:
        unknown_method: Ends the calls to methods that do not exist.
        bare: Handlers of methods that have no layers, by their paths.
    """

    def __init__(self, unknown_method: Behavior, bare: Mapping[str, grpc.RpcMethodHandler[Any, Any]]) -> None:
        # Of any kind: its messages are not read, and it has no response.
        self._unknown_method: grpc.RpcMethodHandler[Any, Any] = grpc.stream_unary_rpc_method_handler(unknown_method)
        self._bare = bare

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        return self._bare.get(handler_call_details.method, self._unknown_method)


def checking(*checks_of: Callable[[Method], Check]) -> Layer:
    """A layer that checks each call first, in order; one whose check raises is not worked on.

    Args:
        checks_of: What makes the checks of a method.
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
    """The `grpc_type` of a method, as go-grpc-middleware names it."""
    if request_streaming:
        return "bidi_stream" if response_streaming else "client_stream"
    return "server_stream" if response_streaming else "unary"


def _behavior(handler: grpc.RpcMethodHandler[Any, Any]) -> Behavior:
    """What answers the calls of a method; a handler has one."""
    behavior: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    return behavior  # type: ignore[no-any-return] # one of them is there


def _deserializing(behavior: Behavior, deserialize: _Deserialize | None) -> Behavior:
    """Reads the request inside the layers, since gRPC itself would call a malformed one an INTERNAL error."""
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


def deserialized(serialized: bytes, deserialize: _Deserialize) -> Any:  # noqa: ANN401 - a message of whatever type
    """A message of a client's.

    Raises:
        ValidationFailed: It is none of its type.
    """
    try:
        return deserialize(serialized)
    except DecodeError:
        malformed = ValidationFailed([FieldViolation("", "Request must be a serialized message of its type")])
        malformed.misuse = True
        raise malformed from None
