"""The output format `table` of the AWS CLI: boxes for human readers."""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any
from unicodedata import east_asian_width

from tokend_client.tokendctl.errors import CommandFailed
from tokend_client.tokendctl.exit_codes import ExitCode
from tokend_client.tokendctl.text import is_scalar

#: Spaces around the text of a cell, and the columns of a box's two edges.
_PADDING, _EDGES = 4, 2

#: Columns of an output that is not a terminal.
_COLUMNS = 80


@dataclass(slots=True)
class _Box:
    """A title over rows, nested in `depth` other boxes."""

    title: str
    depth: int
    header: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def natural_widths(self) -> list[int]:
        lines = [self.header, *self.rows] if self.header else self.rows
        if len({len(line) for line in lines}) > 1:
            raise CommandFailed("the rows are of different lengths: use another --output", ExitCode.OTHER)
        return [max(map(_width, column)) for column in zip(*lines, strict=True)]

    def natural_width(self) -> int:
        cells = sum(width + _PADDING for width in self.natural_widths())
        return max(_width(self.title), cells) + _EDGES + 2 * self.depth


def render_table(title: str, value: object) -> str:
    """Returns the value as boxes that fit the terminal if possible: otherwise a box with one row is transposed.

    Raises:
        CommandFailed: Rows of one box differ in length.
    """
    boxes: list[_Box] = []
    if not _add(boxes, title, value, 0):
        return ""
    width = max(box.natural_width() for box in boxes)
    if width > _terminal_columns():
        boxes = [_transpose(box) for box in boxes]
        width = max(box.natural_width() for box in boxes)
    lines = ["-" * width]
    for box in boxes:
        edge = "|" * box.depth
        lines += [edge + line + edge for line in _lines(box, width - 2 * box.depth)]
    return "\n".join(lines) + "\n"


def _add(boxes: list[_Box], title: str, value: Any, depth: int) -> bool:  # noqa: ANN401
    if not value:
        return False
    boxes.append(_Box(title, depth))
    _fill(boxes, title, value, depth)
    return True


def _fill(boxes: list[_Box], title: str, value: Any, depth: int) -> None:  # noqa: ANN401
    if isinstance(value, dict):
        _add_map(boxes, value, depth)
    elif isinstance(value, list) and isinstance(value[0], dict):
        _add_maps(boxes, title, value, depth)
    elif isinstance(value, list):
        for item in value:
            if is_scalar(item):
                boxes[-1].rows.append([str(item)])
            elif all(map(is_scalar, item)):
                boxes[-1].rows.append([str(each) for each in item])
            else:
                _fill(boxes, title, item, depth)


def _add_map(boxes: list[_Box], value: dict[str, Any], depth: int) -> None:
    scalars = sorted(name for name in value if is_scalar(value[name]))
    cells = [str(value[name]) for name in scalars]
    if len(scalars) == 1:
        boxes[-1].rows.append([*scalars, *cells])
    elif scalars:
        boxes[-1].header = scalars
        boxes[-1].rows.append(cells)
    for name in sorted(value.keys() - set(scalars)):
        _add(boxes, name, value[name], depth + 1)


def _add_maps(boxes: list[_Box], title: str, maps: list[Any], depth: int) -> None:
    if not all(isinstance(each, dict) for each in maps):
        raise CommandFailed("the rows are of different types: use another --output", ExitCode.OTHER)
    scalars = sorted({name for each in maps for name in each if is_scalar(each[name])})
    others = sorted({name for each in maps for name in each if not is_scalar(each[name])})
    for number, each in enumerate(maps):
        if number and others:
            boxes.append(_Box(title, depth))
        boxes[-1].header = scalars
        boxes[-1].rows.append([str(each.get(name, "")) for name in scalars])
        for name in others:
            _add(boxes, name, each.get(name), depth + 1)


def _transpose(box: _Box) -> _Box:
    if not box.header or len(box.rows) != 1:
        return box
    return _Box(box.title, box.depth, rows=[list(pair) for pair in zip(box.header, box.rows[0], strict=True)])


def _lines(box: _Box, width: int) -> Iterator[str]:
    widths = _scale_widths([natural + _PADDING for natural in box.natural_widths()], width)
    rule = "+" + "".join("-" * (column - (1 if index else 2)) + "+" for index, column in enumerate(widths))
    if box.title:
        yield _center(box.title, width, "|")
        if not widths:
            yield "+" + "-" * (width - 2) + "+"
    if box.header:
        yield rule
        yield "".join(_center(cell, *column) for cell, column in zip(box.header, _with_left_edges(widths), strict=True))
    if widths:
        yield rule
        for row in box.rows:
            yield "".join(
                _align_left(cell, *column) for cell, column in zip(row, _with_left_edges(widths), strict=True)
            )
        yield rule


def _with_left_edges(widths: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Returns each column with its left edge; its right edge is that of the next column."""
    return ((width, "" if index else "|") for index, width in enumerate(widths))


def _center(text: str, width: int, edge: str) -> str:
    filled = edge + " " * (width // 2 - _width(text) // 2 - 1) + text
    return filled + " " * (width - _width(filled) - 1) + "|"


def _align_left(text: str, width: int, edge: str) -> str:
    fits = _width(text) + _PADDING // 2 + len(edge) + 1 <= width
    filled = edge + " " * (_PADDING // 2 * fits) + text
    return filled + " " * (width - _width(filled) - 1) + "|"


def _scale_widths(widths: list[int], width: int) -> list[int]:
    """Returns the widths, scaled to the box. The first or the last columns absorb the rounding error."""
    if not widths:
        return []
    scaled = [round(width / sum(widths) * each) for each in widths]
    missing = width - sum(scaled)
    order = range(len(scaled)) if missing < 0 else reversed(range(len(scaled)))
    for index, _ in zip(cycle(order), range(abs(missing)), strict=False):
        scaled[index] += 1 if missing > 0 else -1
    return scaled


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WFA" else 1 for character in text)


def _terminal_columns() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return _COLUMNS
