"""What stands against too much of anything: calls beyond the most, and connections whose calls are refused."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

import grpc

from tokend_server.errors import TokendError, TooManyRequests
from tokend_server.model import ANONYMOUS
from tokend_server.rpc.call import Call
from tokend_server.rpc.interceptors.layers import Behavior, Check, Layer, Method
from tokend_server.rpc.status import to_status
from tokend_server.rpc.worker_pool import Refuse, WorkerPool

#: What works on the calls of a method.
Threads: TypeAlias = Callable[[Method], WorkerPool]

#: Seconds after which a call that was refused for the number of calls may be tried again.
_RETRY_AFTER = 0.5


def refusing_excess(threads: Threads, on_refusal: Callable[[str], None]) -> Callable[[Method], Check]:
    """The check that refuses calls that are too many.

    Args:
        threads: What works on a method, and knows which calls are.
        on_refusal: Called for each with the path of its method.
    """

    def check_of(method: Method) -> Check:
        is_excess, path = threads(method).refuses, method.path

        def check(_call: Call, _context: grpc.ServicerContext) -> None:
            if is_excess():
                on_refusal(path)
                raise _too_many()

        return check

    return check_of


def learning(threads: Threads, learn: Callable[[str, str], str], *, anonymous: bool) -> Callable[[Method], Check]:
    """The check that refuses nothing, and tells of a connection who makes its calls, as soon as one has shown it.

    Args:
        threads: What works on a method, and counts the current call as one of a line.
        learn: Takes the connection, as gRPC calls its peer, and the caller; returns the connection's line.
        anonymous: Callers are not identified, and each connection has a line of its own; elsewhere a caller that stays
            anonymous has shown nothing.
    """

    def check_of(method: Method) -> Check:
        count_in = threads(method).count_in

        def tell(call: Call, _context: grpc.ServicerContext) -> None:
            if anonymous:
                learn(call.source, call.caller)
            elif call.caller != ANONYMOUS:
                count_in(learn(call.source, call.caller))

        return tell

    return check_of


def refusing_at_once(on_refusal: Callable[[str], None]) -> Refuse:
    """What refuses a call beyond those that `refusing_excess` can answer: outside of all layers, and without a wait.

    Args:
        on_refusal: Called for each with the path of its method.
    """
    status = to_status(_too_many())

    def refuse(path: str, _messages: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - as grpc calls it
        on_refusal(path)
        context.abort_with_status(status)

    return refuse


def pausing(threads: Threads, seconds: float) -> Layer:
    """A layer that has a line wait a little after each of its calls that no caller who behaves makes often.

    Args:
        threads: What works on a method, and can hold back the line of the current call.
        seconds: How long.
    """

    def layer(method: Method, behavior: Behavior) -> Behavior:
        hold_back = threads(method).hold_back

        @wraps(behavior)
        def paused(request: Any, context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as grpc calls it
            try:
                return behavior(request, context, *rest)
            except TokendError as error:
                if error.misuse:
                    hold_back(seconds)
                raise

        return paused

    return layer


def unknown_method(count: Callable[[], None], hold_back: Callable[[float], None], seconds: float) -> Behavior:
    """What ends the calls to methods that do not exist, as gRPC does, but in the turns of their lines.

    Args:
        count: Called for each.
        hold_back: Holds back the line of the current call for some seconds.
        seconds: How long a line waits after each of them.
    """

    def not_found(_messages: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - as grpc calls it
        count()
        hold_back(seconds)
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

    return not_found


def _too_many() -> TooManyRequests:
    return TooManyRequests("Too many calls at once.", retry_after=_RETRY_AFTER)
