"""Decisions derived from bytes, so that a change of the bytes changes the decisions."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

_T = TypeVar("_T")

#: Characters that are written, counted, printed or compared in different ways.
_CHARACTERS = "a1 ./:;,=\"'\\-_%*{}[]\0\n\r\t\x7f\x80\xa0\xff\u00e9\u0130\u0661\u200b\u2028\u202e\ufeff\uffff\U0001f600"


class Choices:
    """Derives decisions from bytes; after the last byte, every decision is for the first possibility.

    Args:
        data: The bytes.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, least: int, most: int) -> int:
        """Returns a number between two others, inclusive."""
        size = ((most - least).bit_length() + 7) // 8
        taken = self._data[self._at : self._at + size]
        self._at += size
        return least + int.from_bytes(taken, "big") % (most - least + 1)

    def one(self, *possible: _T) -> _T:
        return possible[self.number(0, len(possible) - 1)]

    def made(self, *makers: Callable[[], _T]) -> _T:
        """Returns the result of one of the functions."""
        return self.one(*makers)()

    def rarely(self, one_in: int) -> bool:
        return self.number(0, one_in - 1) == one_in - 1

    def several(self, item: Callable[[], _T], most: int) -> list[_T]:
        return [item() for _ in range(self.number(0, most))]

    def text(self, most: int = 12) -> str:
        """Returns a text of characters that UTF-8 can encode."""
        return "".join(self.several(self._character, most))

    def latin(self, most: int = 12) -> str:
        """Returns a text of Latin-1 characters, a byte each."""
        return "".join(self.several(lambda: chr(self.number(0, 255)), most))

    def long(self, limit: int) -> str:
        """Returns a text about as long as a limit."""
        character, length = self._character(), self.number(limit - 1, limit + 1)
        return character * length

    def _character(self) -> str:
        return _CHARACTERS[self.number(0, len(_CHARACTERS) - 1)]

    def edits(self, most: int = 4) -> Sequence[tuple[int, int, str]]:
        """Returns edits of a text: position in thousandths of its length, length to remove, text to insert."""
        return self.several(self._edit, most)

    def _edit(self) -> tuple[int, int, str]:
        inserted = self.one("", ",", ";", '"', "=", "\\", "\0", "\xed\xa0\x80", "\xff" * 12, "0") + self.latin(3)
        return self.number(0, 1000), self.one(len(inserted), len(inserted), 0, 1, 4), inserted


#: The input of a target; JSON, so that it can be stored in a file.
Json: TypeAlias = Any
Make: TypeAlias = Callable[[Choices], Json]
