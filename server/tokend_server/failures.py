"""What the log tells of calls that fail."""

import logging
import sys
import threading
from collections.abc import Callable
from traceback import format_tb
from types import TracebackType

from tokend_server.errors import LastingError, RetryableError, TokendError

_log = logging.getLogger(__name__)


def log_failure(method: str, error: TokendError) -> None:
    """Logs a failure that the contract knows: as a warning where it is on this side."""
    known = {
        "reason": error.reason,
        "aws_error_code": error.aws_error_code,
        "aws_request_id": error.aws_request_id,
        "text": error.text,
        "advice": error.advice,
    }
    members = {name: value for name, value in known.items() if value}
    # A caller's mistake is the caller's to log. So are calls beyond its own limits, with which it could fill the log.
    ours = isinstance(error, (LastingError, RetryableError)) and not error.misuse
    _log.log(logging.WARNING if ours else logging.DEBUG, "call failed", extra={"method": method, **members})


def log_defect(method: str, error: Exception, request_id: str) -> None:
    """Logs a defect: where it arose, under the id that the caller gets."""
    described = described_without_message(type(error), error.__traceback__)
    _log.error("internal error", extra={"method": method, "request_id": request_id, **described})


def log_what_would_be_printed(on_thread_end: Callable[[], object]) -> None:
    """Sends what ends a thread, or cannot be raised, to the log: Python would write it to standard error and wait.

    Args:
        on_thread_end: Is called when a thread has ended by an exception, which is in the log.
    """

    def ended(arguments: threading.ExceptHookArgs) -> None:
        described = described_without_message(arguments.exc_type, arguments.exc_traceback)
        name = arguments.thread.name if arguments.thread else "unknown"
        _log.error("a thread has ended", extra={"ended_thread": name, **described})
        on_thread_end()

    def ignored(arguments: "sys.UnraisableHookArgs") -> None:
        described = described_without_message(arguments.exc_type, arguments.exc_traceback)
        _log.error("an exception was ignored", extra=described)

    threading.excepthook = ended
    sys.unraisablehook = ignored


def described_without_message(kind: type[BaseException], traceback: TracebackType | None) -> dict[str, str]:
    """The members of a record about an unforeseen exception: its type and where it arose.

    The messages of such exceptions may repeat what a caller sent; their types and places do not.
    """
    return {"exception": kind.__qualname__, "traceback": "".join(format_tb(traceback))}
