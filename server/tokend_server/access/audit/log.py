"""Where records of the audit log go."""

import errno
from typing import Protocol


class AuditWriteFailed(Exception):
    """Raised when a line could not be written; the OSError is its cause.

    Attributes:
        code: The name of the error's number, such as ENOSPC.
    """

    def __init__(self, destination: str, error: OSError) -> None:
        super().__init__(f"{destination}: {error.strerror}")
        self.code = errno.errorcode.get(error.errno or 0, "UNKNOWN")


class AuditLog(Protocol):
    """A destination of lines. Any thread may write."""

    def write(self, line: bytes) -> None:
        """Writes a line, whose end is added here. When this returns, the operating system has it.

        Raises:
            AuditWriteFailed: It has not, or only a part of it. The next line begins on a line of its own all the same.
        """
        ...

    def reopen(self) -> None:
        """Lets go of a file that was renamed, as after a SIGHUP.

        Raises:
            AuditWriteFailed: The new file cannot be opened; the old one is kept until that is possible.
        """
        ...

    def close(self) -> None:
        """Ends the log: what is written later fails."""
        ...
