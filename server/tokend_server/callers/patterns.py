"""Patterns of callers' names.

`*` matches any sequence of characters except `/` and `:`, so that it stays within one segment of a name; `**` matches
any sequence. Both may match nothing. All other characters match themselves, and a pattern matches only whole names.
"""

import re

from tokend_server.callers.names import check_spelling

_STARS = re.compile(r"(\*\*|\*)")
_BOUNDARIES = frozenset("/:")


def check_pattern(pattern: str) -> str:
    """Returns the pattern, if a name can match it.

    Raises:
        ValueError: It is empty, has three stars in a row, or has characters that names cannot have.
    """
    if not pattern:
        raise ValueError("a pattern of callers must not be empty")
    if "***" in pattern:
        raise ValueError("a pattern of callers must not have more than two stars in a row")
    return check_spelling(pattern)


class Pattern:
    """A compiled pattern.

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
        """Returns whether the pattern matches the whole name.

        It follows all alternatives at once, so its time is bounded by the product of the two lengths, unlike a regular
        expression with backtracking.
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
    """Returns whether a pattern matches the whole name.

    Raises:
        ValueError: It is not a pattern.
    """
    return Pattern(pattern).matches(name)


def _ends(piece: str, name: str, starts: set[int]) -> set[int]:
    """Returns the positions in the name at which a piece of a pattern can end, for the given start positions."""
    if piece == "**":
        return set(range(min(starts), len(name) + 1))
    if piece == "*":
        return _ends_of_run(name, starts)
    return {start + len(piece) for start in starts if name.startswith(piece, start)}


def _ends_of_run(name: str, starts: set[int]) -> set[int]:
    ends: set[int] = set()
    for start in starts:
        end = start
        while end not in ends:  # all ends after a known one are known
            ends.add(end)
            if end == len(name) or name[end] in _BOUNDARIES:
                break
            end += 1
    return ends
