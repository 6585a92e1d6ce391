"""The output format `text` of the AWS CLI: lines of tab-separated cells, for shells."""

from collections.abc import Iterator, Sequence
from typing import Any


def render_text(value: object) -> str:
    """Returns the value as lines.

    Scalars of a map are the cells of one line, sorted by name. A member that is a map or a list has separate lines,
    which begin with the member's name in capitals.
    """
    return "".join("\t".join(cells) + "\n" for cells in _lines(value, (), None))


def _lines(value: Any, label: Sequence[str], columns: Sequence[str] | None) -> Iterator[Sequence[str]]:  # noqa: ANN401
    if isinstance(value, dict):
        yield from _lines_of_map(value, label, columns)
    elif isinstance(value, list):
        yield from _lines_of_list(value, label)
    else:
        yield [str(value)]


def _lines_of_map(
    value: dict[str, Any], label: Sequence[str], columns: Sequence[str] | None
) -> Iterator[Sequence[str]]:
    names = sorted(name for name in value if is_scalar(value[name])) if columns is None else columns
    if names:
        yield [*label, *(str(value.get(name, "")) for name in names)]
    for name in sorted(value.keys() - set(names)):
        yield from _lines(value[name], [name.upper()], None)


def _lines_of_list(value: list[Any], label: Sequence[str]) -> Iterator[Sequence[str]]:
    maps = [item for item in value if isinstance(item, dict)]
    if maps:
        # The rows of a table: each has a cell for every name of any row.
        columns = sorted({name for each in maps for name in each if is_scalar(each[name])})
        for item in value:
            yield from _lines(item, label, columns)
        return
    scalars = [str(item) for item in value if is_scalar(item)]
    if label:
        yield from ([*label, scalar] for scalar in scalars)
    elif scalars:
        yield scalars
    for item in value:
        if not is_scalar(item):
            yield from _lines(item, label, None)


def is_scalar(value: object) -> bool:
    """Returns whether a JSON value is neither a map nor a list."""
    return not isinstance(value, dict | list)
