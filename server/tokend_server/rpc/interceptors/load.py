"""What stands against too much of anything: calls beyond the most, and connections whose calls are in vain."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import grpc

from tokend_server.call import current_call
from tokend_server.errors import TokendError, TooManyRequests
from tokend_server.model import ANONYMOUS
from tokend_server.rpc.interceptors.layers import Behavior, Layer, Method

#: Seconds after which a call that was refused for the number of calls may be tried again.
_RETRY_AFTER = 0.5


def refusing_excess(is_excess: Callable[[], bool], on_refusal: Callable[[], None]) -> Layer:
    """A layer that refuses calls that are too many.

    Args:
        is_excess: Whether the current call is one of them.
        on_refusal: Is told of each.
    """

    def layer(_method: Method, behavior: Behavior) -> Behavior:
        @wraps(behavior)
        def refused(request: Any, context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as grpc calls it
            if is_excess():
                on_refusal()
                raise TooManyRequests("Too many calls at once.", retry_after=_RETRY_AFTER)
            return behavior(request, context, *rest)

        return refused

    return layer


def learning(learn: Callable[[str, str], str], count_in: Callable[[str], None], *, anonymous: bool) -> Layer:
    """A layer that tells of a connection who makes its calls, as soon as one of them has shown it.

    Args:
        learn: Is told the connection, as gRPC calls its peer, and the caller; tells the connection's line.
        count_in: Counts the current call as one of that line.
        anonymous: Callers are not told apart, and each connection has a line of its own; elsewhere a caller that stays
            anonymous has shown nothing.
    """

    def layer(_method: Method, behavior: Behavior) -> Behavior:
        @wraps(behavior)
        def learned(request: Any, context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as grpc calls it
            call = current_call()
            if anonymous:
                learn(call.source, call.caller)
            elif call.caller != ANONYMOUS:
                count_in(learn(call.source, call.caller))
            return behavior(request, context, *rest)

        return learned

    return layer


def pausing(hold_back: Callable[[float], None], seconds: float) -> Layer:
    """A layer that has a line wait a little after each of its calls that was in vain.

    Args:
        hold_back: Holds back the line of the current call for some seconds.
        seconds: How long.
    """

    def layer(_method: Method, behavior: Behavior) -> Behavior:
        @wraps(behavior)
        def paused(request: Any, context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as grpc calls it
            try:
                return behavior(request, context, *rest)
            except TokendError as error:
                if error.in_vain:
                    hold_back(seconds)
                raise

        return paused

    return layer


def unknown_method(count: Callable[[], None], hold_back: Callable[[float], None], seconds: float) -> Behavior:
    """What ends the calls to methods that do not exist, as gRPC does, but in the turns of their lines.

    Args:
        count: Is told of each.
        hold_back: As for `pausing`.
        seconds: How long a line waits after each of them.
    """

    def not_found(_messages: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - as grpc calls it
        count()
        hold_back(seconds)
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

    return not_found
