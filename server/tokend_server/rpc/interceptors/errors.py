"""The layer that turns what goes wrong into the statuses of the contract."""

import logging
import re
import traceback
import uuid
from functools import wraps
from typing import Any

import grpc

from tokend_server.errors import EngineCredentialsRejected, RetryableError, TokendError
from tokend_server.rpc.interceptors.layers import Behavior, Method
from tokend_server.rpc.status import internal_status, to_status

_log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)


def translating_errors(method: Method, behavior: Behavior) -> Behavior:
    """Aborts a call with the status of its error; anything that is no `TokendError` is a defect."""

    @wraps(behavior)
    def translated(request: Any, context: grpc.ServicerContext, *rest: Any) -> Any:  # noqa: ANN401 - as grpc calls it
        try:
            return behavior(request, context, *rest)
        except TokendError as error:
            _log_failure(method, error)
            context.abort_with_status(to_status(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told no more than that
            request_id = _request_id(context)
            _log_defect(method, error, request_id)
            context.abort_with_status(internal_status(request_id))

    return translated


def _log_failure(method: Method, error: TokendError) -> None:
    # A caller's mistake is the caller's to log; a failure on this side is ours.
    ours = isinstance(error, (RetryableError, EngineCredentialsRejected))
    level = logging.WARNING if ours else logging.DEBUG
    known = {
        "reason": error.reason,
        "aws_error_code": error.aws_error_code,
        "aws_request_id": error.aws_request_id,
        "text": error.text,
        "advice": error.advice,
    }
    members = {name: value for name, value in known.items() if value}
    _log.log(level, "call failed", extra={"method": method.name, **members})


def _log_defect(method: Method, error: Exception, request_id: str) -> None:
    # The messages of unforeseen exceptions may repeat what a caller sent; their types and places do not.
    frames = "".join(traceback.format_tb(error.__traceback__))
    _log.error(
        "internal error",
        extra={
            "method": method.name,
            "request_id": request_id,
            "exception": type(error).__qualname__,
            "traceback": frames,
        },
    )


def _request_id(context: grpc.ServicerContext) -> str:
    """The id that a proxy gave the call (`x-request-id`), else a new one."""
    given = [value for key, value in context.invocation_metadata() if key == "x-request-id"]
    if len(given) == 1 and isinstance(given[0], str) and _REQUEST_ID.fullmatch(given[0]):
        return given[0]
    return str(uuid.uuid4())
