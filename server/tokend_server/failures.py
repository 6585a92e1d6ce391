"""Logs failed calls."""

import logging
import sys
import threading
from collections.abc import Callable
from traceback import format_tb
from types import TracebackType

from tokend_server.errors import LastingError, RetryableError, TokendError

_log = logging.getLogger(__name__)


def log_failure(method: str, error: TokendError) -> None:
    """Logs an error of the contract: as a warning if the service or a dependency has caused it."""
    known = {
        "reason": error.reason,
        "aws_error_code": error.aws_error_code,
        "aws_request_id": error.aws_request_id,
        "text": error.text,
        "advice": error.advice,
    }
    members = {name: value for name, value in known.items() if value}
    # Callers log their own mistakes. So they do for calls above their limits, which could otherwise fill this log.
    ours = isinstance(error, (LastingError, RetryableError)) and not error.misuse
    _log.log(logging.WARNING if ours else logging.DEBUG, "call failed", extra={"method": method, **members})


def log_defect(method: str, error: Exception, request_id: str) -> None:
    """Logs a defect with its traceback, under the request id that the caller gets."""
    described = exception_members(type(error), error.__traceback__)
    _log.error("internal error", extra={"method": method, "request_id": request_id, **described})


def log_uncaught_exceptions(on_thread_end: Callable[[], object]) -> None:
    """Logs exceptions that end threads or are ignored: Python would write them to standard error, and block.

    Args:
        on_thread_end: Called after an exception has ended a thread and has been logged.
    """

    def ended(arguments: threading.ExceptHookArgs) -> None:
        described = exception_members(arguments.exc_type, arguments.exc_traceback)
        name = arguments.thread.name if arguments.thread else "unknown"
        _log.error("a thread has ended", extra={"ended_thread": name, **described})
        on_thread_end()

    def ignored(arguments: "sys.UnraisableHookArgs") -> None:
        described = exception_members(arguments.exc_type, arguments.exc_traceback)
        _log.error("an exception was ignored", extra=described)

    threading.excepthook = ended
    sys.unraisablehook = ignored


def exception_members(kind: type[BaseException], traceback: TracebackType | None) -> dict[str, str]:
    """Returns the members of a log record about an unexpected exception: its type and its location.

    The messages of such exceptions may contain data from callers; their types and locations do not.
    """
    return {"exception": kind.__qualname__, "traceback": "".join(format_tb(traceback))}
