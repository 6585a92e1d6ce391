"""What the log tells of calls that fail."""

import logging
import traceback

from tokend_server.errors import EngineCredentialsRejected, RetryableError, TokendError

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
    # A caller's mistake is the caller's to log.
    ours = isinstance(error, (RetryableError, EngineCredentialsRejected))
    _log.log(logging.WARNING if ours else logging.DEBUG, "call failed", extra={"method": method, **members})


def log_defect(method: str, error: Exception, request_id: str) -> None:
    """Logs a defect: where it arose, under the id that the caller is told."""
    # The messages of unforeseen exceptions may repeat what a caller sent; their types and places do not.
    frames = "".join(traceback.format_tb(error.__traceback__))
    _log.error(
        "internal error",
        extra={
            "method": method,
            "request_id": request_id,
            "exception": type(error).__qualname__,
            "traceback": frames,
        },
    )
