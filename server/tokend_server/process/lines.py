"""Writes the lines of a log so that they are not joined."""

from collections.abc import Callable

_END = b"\n"


class LineWriter:
    """Writes lines so that each starts on a new line, even after a truncated one.

    Args:
        write: Writes the beginning of some bytes, and returns the number of written ones.
        cut_off: Whether the destination ends in a truncated line.
    """

    def __init__(self, write: Callable[[bytes], int], *, cut_off: bool = False) -> None:
        self._write = write
        self._cut_off = cut_off

    def write(self, line: bytes) -> None:
        """Writes a whole line, in one piece if the operating system allows it.

        Raises:
            OSError: It was not written completely.
        """
        rest = (_END if self._cut_off else b"") + line + _END
        while (count := self._write(rest)) < len(rest):
            self._cut_off = not rest[:count].endswith(_END)
            rest = rest[count:]
        self._cut_off = False
