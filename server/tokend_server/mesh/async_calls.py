"""Calls of grpcio's asyncio server: counted, timed, and ended with the statuses of the contract."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias, cast

import grpc

from tokend_server.clock import Clock
from tokend_server.errors import FieldViolation, TokendError, ValidationFailed
from tokend_server.failures import log_defect, log_failure
from tokend_server.rpc.grpc_internals import ended_by
from tokend_server.rpc.interceptors.layers import Method
from tokend_server.rpc.interceptors.metrics import Recorder
from tokend_server.rpc.status import internal_status, to_status

#: What answers a call: takes the request, or what yields requests, and the context, as grpcio calls it.
AsyncBehavior: TypeAlias = Callable[[Any, Any], Awaitable[Any]]

#: Puts what all calls of a method have around its behavior.
Around: TypeAlias = Callable[[Method, AsyncBehavior], AsyncBehavior]


async def only_message(context: Any, seconds: float) -> bytes:  # noqa: ANN401 - grpcio's own class is private
    """The message of a call that has one, whose behavior is called at its headers.

    grpcio would wait for it before all else, without end, and nothing would know of the call.

    Args:
        context: The call.
        seconds: How long the message may take.

    Raises:
        ValidationFailed: There is none, or none in time.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            message: Any = await context.read()
            if message is not grpc.aio.EOF:
                return cast("bytes", message)
    raise ValidationFailed([FieldViolation("", "Request must be one message")])


def around_calls(recorder: Callable[[Method], Recorder], clock: Clock, new_id: Callable[[], str]) -> Around:
    """What counts and times calls, and gives what goes wrong its status.

    Args:
        recorder: The series of a method.
        clock: The time.
        new_id: Makes the id of a defect: the log has it, and the caller gets it.
    """

    def around(method: Method, serve: AsyncBehavior) -> AsyncBehavior:
        records = recorder(method)

        async def answered(request: Any, context: Any) -> Any:  # noqa: ANN401 - as grpcio calls it
            records.count_started(1)
            began = clock.monotonic()
            code = status = response = None
            try:
                response = await serve(request, context)
                code = None if context.cancelled() else context.code() or grpc.StatusCode.OK
            except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets no more than its status
                status = _status(method, error, new_id)
                code = status.code
            finally:
                records.finish(code or _ended_by(context), clock.monotonic() - began)
            # The call is counted by now: whoever has an answer finds it there.
            if status:
                await context.abort(status.code, status.details, status.trailing_metadata)
            return response

        return answered

    return around


def _ended_by(context: Any) -> grpc.StatusCode:  # noqa: ANN401 - grpcio's own class is private
    left = context.time_remaining()
    return ended_by(math.inf if left is None else left)


def _status(method: Method, error: Exception, new_id: Callable[[], str]) -> Any:  # noqa: ANN401 - grpc.Status has no fields in the stubs
    if isinstance(error, TokendError):
        log_failure(method.name, error)
        return to_status(error)
    request_id = new_id()
    log_defect(method.name, error, request_id)
    return internal_status(request_id)
