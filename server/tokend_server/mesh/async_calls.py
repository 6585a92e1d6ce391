"""Calls of grpcio's asyncio server: metrics, timing, and the statuses of the contract."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias, cast

import grpc

from tokend_server.clock import Clock
from tokend_server.errors import FieldViolation, ValidationFailed
from tokend_server.rpc.grpc_internals import ended_by
from tokend_server.rpc.interceptors.errors import logged_status
from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.interceptors.metrics import Recorder

#: Answers a call: takes the request, or an iterator of requests, and the context, as grpcio calls it.
AsyncBehavior: TypeAlias = Callable[[Any, Any], Awaitable[Any]]

#: Wraps the behavior of a method in the layers that all its calls have.
WrapBehavior: TypeAlias = Callable[[Method, AsyncBehavior], AsyncBehavior]


async def only_message(context: Any, seconds: float) -> bytes:  # noqa: ANN401 - grpcio's own class is private
    """Returns the message of a unary call, whose behavior is called at its headers.

    grpcio itself would wait for it first, without a timeout, and the call would not be visible until then.

    Args:
        context: The call.
        seconds: The timeout of the message.

    Raises:
        ValidationFailed: There is no message, or none in time.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            message: Any = await context.read()
            if message is not grpc.aio.EOF:
                return cast("bytes", message)
    raise ValidationFailed([FieldViolation("", "Request must be one message")])


def wrapping_calls(recorder: Callable[[Method], Recorder], clock: Clock, new_id: Callable[[], str]) -> WrapBehavior:
    """Returns a wrapper that counts and times calls, and converts errors to statuses.

    Args:
        recorder: Returns the series of a method.
        clock: The time.
        new_id: Generates the id of a defect for the log and the caller.
    """

    def wrap(method: Method, serve: AsyncBehavior) -> AsyncBehavior:
        records = recorder(method)

        async def wrapped(request: Any, context: Any) -> Any:  # noqa: ANN401 - as grpcio calls it
            records.count_started(1)
            began = clock.monotonic()
            code = status = response = None
            try:
                response = await serve(request, context)
                code = None if context.cancelled() else context.code() or grpc.StatusCode.OK
            except Exception as error:  # noqa: BLE001 - the caller gets only the status of any error
                status = logged_status(method, error, new_id)
                code = status.code
            finally:
                records.finish(code or _ended_by(context), clock.monotonic() - began)
            # The call has been counted: a client that has the response finds it in the metrics.
            if status:
                await context.abort(status.code, status.details, status.trailing_metadata)
            return response

        return wrapped

    return wrap


def _ended_by(context: Any) -> grpc.StatusCode:  # noqa: ANN401 - grpcio's own class is private
    left = context.time_remaining()
    return ended_by(math.inf if left is None else left)
