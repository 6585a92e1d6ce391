"""The port to the destination of the audit log."""

import errno
from typing import Protocol


class AuditWriteFailed(Exception):
    """Raised when a line could not be written; the OSError is its cause.

    Attributes:
        code: The name of the error number, such as ENOSPC.
    """

    def __init__(self, destination: str, error: OSError) -> None:
        super().__init__(f"{destination}: {error.strerror}")
        self.code = errno.errorcode.get(error.errno or 0, "UNKNOWN")


class AuditLog(Protocol):
    """A destination of lines. Its methods are thread-safe."""

    def write(self, line: bytes) -> None:
        """Writes a line and its line end. When it returns, the operating system has the line.

        Raises:
            AuditWriteFailed: The line was not written, or only in part. The next line still starts on a new line.
        """
        ...

    def reopen(self) -> None:
        """Reopens a file that was renamed, as after a SIGHUP.

        Raises:
            AuditWriteFailed: The new file cannot be opened; the old one is used until it can.
        """
        ...

    def close(self) -> None:
        """Closes the log; later writes fail."""
        ...
