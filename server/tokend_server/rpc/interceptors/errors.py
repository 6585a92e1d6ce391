"""The layer that turns errors into the statuses of the contract."""

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, NoReturn

import grpc

from tokend_server.errors import TokendError
from tokend_server.failures import log_defect, log_failure
from tokend_server.rpc.call import current_call
from tokend_server.rpc.ended import CallEnded, clear_tracebacks
from tokend_server.rpc.grpc_internals import ended_by
from tokend_server.rpc.interceptors.layers import Behavior, Method
from tokend_server.rpc.status import Status, internal_status, to_status


def translating_errors(method: Method, behavior: Behavior) -> Behavior:
    """Aborts a call with the status of its error; any error other than a `TokendError` is a defect."""

    @wraps(behavior)
    def translated(request: Any, context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as grpc calls it
        try:
            return behavior(request, context, *rest)
        except Exception as error:  # noqa: BLE001 - the caller gets only the status of any error
            _abort(method, error, context)

    if not method.has_response_stream:
        return translated

    @wraps(behavior)
    def translated_stream(request: Any, context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as above
        responses = translated(request, context, *rest)
        return None if responses is None else each(responses, context)

    def each(responses: Iterable[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        try:
            yield from responses
        except Exception as error:  # noqa: BLE001 - as above
            _abort(method, error, context)

    return translated_stream


def _abort(method: Method, error: Exception, context: grpc.ServicerContext) -> NoReturn:
    if isinstance(error, CallEnded):
        clear_tracebacks(error)
        context.abort(ended_by(context.time_remaining()), "")
    status = logged_status(method, error, lambda: current_call().request_id)
    clear_tracebacks(error)
    context.abort_with_status(status)


def logged_status(method: Method, error: Exception, request_id: Callable[[], str]) -> Status:
    """Logs an error, and returns its status.

    Args:
        method: The method of the call.
        error: The error.
        request_id: Returns the id of a defect for the log and the caller.
    """
    if isinstance(error, TokendError):
        log_failure(method.name, error)
        return to_status(error)
    defect_id = request_id()
    log_defect(method.name, error, defect_id)
    return internal_status(defect_id)
