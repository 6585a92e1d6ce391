"""Protection against overload: limits of concurrent calls, and pauses for connections whose calls are refused."""

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

#: Returns the threads that run the calls of a method.
Threads: TypeAlias = Callable[[Method], WorkerPool]

#: Seconds after which a call that a concurrency limit refused may be retried.
_RETRY_AFTER = 0.5


def refusing_excess(threads: Threads, on_refusal: Callable[[str], None]) -> Callable[[Method], Check]:
    """Returns the check that refuses calls beyond the concurrency limit.

    Args:
        threads: Returns the threads of a method, which count its calls.
        on_refusal: Called for each with the path of its method.
    """

    def check_of(method: Method) -> Check:
        is_excess, path = threads(method).must_refuse, method.path

        def check(_call: Call, _context: grpc.ServicerContext) -> None:
            if is_excess():
                on_refusal(path)
                raise _too_many()

        return check

    return check_of


def recording_callers(
    threads: Threads, learn: Callable[[str, str], str], *, anonymous: bool
) -> Callable[[Method], Check]:
    """Returns the check that records the caller of a connection once a call has identified it; it refuses no call.

    Args:
        threads: Returns the threads of a method, which count the current call in a line.
        learn: Takes the connection, as gRPC names its peer, and the caller; returns the connection's line.
        anonymous: Whether the listener identifies no callers, so that each connection has its own line. On other
            listeners an anonymous caller is not recorded.
    """

    def check_of(method: Method) -> Check:
        count_in = threads(method).count_in

        def record(call: Call, _context: grpc.ServicerContext) -> None:
            if anonymous:
                learn(call.source, call.caller)
            elif call.caller != ANONYMOUS:
                count_in(learn(call.source, call.caller))

        return record

    return check_of


def refusing_at_once(on_refusal: Callable[[str], None]) -> Refuse:
    """Returns a function that refuses calls beyond those that `refusing_excess` can answer: at once, without layers.

    Args:
        on_refusal: Called for each with the path of its method.
    """
    status = to_status(_too_many())

    def refuse(path: str, _messages: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - as grpc calls it
        on_refusal(path)
        context.abort_with_status(status)

    return refuse


def pausing_after_misuse(threads: Threads, seconds: float) -> Layer:
    """Returns a layer that pauses a line after each of its calls that counts as misuse.

    Args:
        threads: Returns the threads of a method, which can pause the line of the current call.
        seconds: The duration of the pause.
    """

    def layer(method: Method, behavior: Behavior) -> Behavior:
        pause_line = threads(method).pause_line

        @wraps(behavior)
        def paused(request: Any, context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as grpc calls it
            try:
                return behavior(request, context, *rest)
            except TokendError as error:
                if error.misuse:
                    pause_line(seconds)
                raise

        return paused

    return layer


def unknown_method(count: Callable[[], None], pause_line: Callable[[float], None], seconds: float) -> Behavior:
    """Returns a behavior that ends calls to unknown methods as gRPC does, but in the order of the fair queue.

    Args:
        count: Called for each.
        pause_line: Pauses the line of the current call for some seconds.
        seconds: The duration of the pause of a line after each such call.
    """

    def not_found(_messages: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - as grpc calls it
        count()
        pause_line(seconds)
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

    return not_found


def _too_many() -> TooManyRequests:
    return TooManyRequests("Too many calls at once.", retry_after=_RETRY_AFTER)
