"""Reloads the keys from the store."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.errors import TokendError

if TYPE_CHECKING:
    from types import TracebackType

_log = logging.getLogger(__name__)


def problem_of(error: Exception) -> str:
    """Returns the text of an error for operators, if it is one of tokend's own errors."""
    return f"{error.text} {error.advice}".rstrip() if isinstance(error, TokendError) else type(error).__qualname__


def log_problem(message: str, error: Exception, **extra: object) -> None:
    """Logs a problem of keys; a defect with its traceback."""
    defect = None if isinstance(error, TokendError) else error
    _log.warning(message, extra={**extra, "problem": problem_of(error)}, exc_info=defect)


class KeyRefresh:
    """Reads the signing keys, and remembers the result.

    If keys cannot be read, those of the last read stay in use.

    Args:
        signer: Signs with the keys.
        failed: Called for each failed read.
    """

    def __init__(self, signer: TokenSigner, failed: Callable[[], None]) -> None:
        self._signer = signer
        self._failed = failed
        self._failure: tuple[Exception, TracebackType | None] | None = None

    def refresh(self) -> bool:
        """Reads the keys once; `check` reports errors.

        Returns:
            Whether all keys of the store are in use here.
        """
        try:
            self._signer.refresh()
        except Exception as error:  # noqa: BLE001 - the next read must follow after any error
            self._failed()
            if self._failure is None:
                log_problem("signing keys cannot be read; those of the last read stay in use", error)
            self._failure = error, error.__traceback__
            return False
        if self._failure:
            _log.info("signing keys can be read again")
        self._failure = None
        return True

    def check(self) -> None:
        """Checks that the last read succeeded.

        Raises:
            EngineUnavailable: The store did not answer, or a key could not be opened.
        """
        if failure := self._failure:
            error, traceback = failure
            raise error.with_traceback(traceback)  # otherwise the traceback grows with each raise
