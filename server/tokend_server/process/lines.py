"""Lines of a log, written so that none is a part of another."""

from collections.abc import Callable

_END = b"\n"


class LineWriter:
    """Writes lines so that each begins on a line of its own, even after one that was cut off.

    Args:
        write: Writes the beginning of some bytes, and returns how many.
        cut_off: Whether what was written before the first line lacks its end.
    """

    def __init__(self, write: Callable[[bytes], int], *, cut_off: bool = False) -> None:
        self._write = write
        self._cut_off = cut_off

    def write(self, line: bytes) -> None:
        """Writes a whole line, in one piece if the operating system takes it so.

        Raises:
            OSError: Not all of it was written.
        """
        rest = (_END if self._cut_off else b"") + line + _END
        while (count := self._write(rest)) < len(rest):
            self._cut_off = not rest[:count].endswith(_END)
            rest = rest[count:]
        self._cut_off = False
