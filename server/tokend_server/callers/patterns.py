"""Patterns of callers' names.

`*` stands for any run of characters other than `/` and `:`, so that it stays within one segment of a name; `**` stands
for any run at all. Either run may be empty. Everything else stands for itself, and a pattern fits whole names only.
"""

import re

from tokend_server.callers.names import check_spelling

_STARS = re.compile(r"(\*\*|\*)")
_BOUNDARIES = frozenset("/:")


def check_pattern(pattern: str) -> str:
    """Returns the pattern, if some name can fit it.

    Raises:
        ValueError: It is empty, has three stars in a row, or is spelled as no name is.
    """
    if not pattern:
        raise ValueError("a pattern of callers must not be empty")
    if "***" in pattern:
        raise ValueError("a pattern of callers must not have more than two stars in a row")
    return check_spelling(pattern)


class Pattern:
    """A pattern, ready to be compared with many names.

    Args:
        text: The pattern.

    Raises:
        ValueError: It is not a pattern.
    """

    __slots__ = ("_pieces", "_text")

    def __init__(self, text: str) -> None:
        self._text = check_pattern(text)
        self._pieces = tuple(piece for piece in _STARS.split(text) if piece)

    def matches(self, name: str) -> bool:
        """Tells whether the pattern fits the whole name.

        It follows all readings of the pattern at once, and so takes no longer than the product of the two lengths,
        where a regular expression could try the readings one after the other without end.
        """
        ends = {0}
        for piece in self._pieces:
            ends = _ends(piece, name, ends)
            if not ends:
                return False
        return len(name) in ends

    def __repr__(self) -> str:
        return f"Pattern({self._text!r})"


def matches(pattern: str, name: str) -> bool:
    """Tells whether a pattern fits the whole name.

    Raises:
        ValueError: It is not a pattern.
    """
    return Pattern(pattern).matches(name)


def _ends(piece: str, name: str, starts: set[int]) -> set[int]:
    """Where a piece of a pattern can end in the name, if it starts at one of the given positions."""
    if piece == "**":
        return set(range(min(starts), len(name) + 1))
    if piece == "*":
        return _ends_of_run(name, starts)
    return {start + len(piece) for start in starts if name.startswith(piece, start)}


def _ends_of_run(name: str, starts: set[int]) -> set[int]:
    ends: set[int] = set()
    for start in starts:
        end = start
        while end not in ends:  # from a known end on, all is known
            ends.add(end)
            if end == len(name) or name[end] in _BOUNDARIES:
                break
            end += 1
    return ends
