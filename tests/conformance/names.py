"""The placeholders of a scenario: replaced before a call, and restored in its results."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from tests.support.replacing import replaced

Json: TypeAlias = Any

_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
_REPETITION = re.compile(r"(.)\*(\d+)", re.DOTALL)
_RANGE = re.compile(r"\$\{(\d+)\.\.(\d+)\}")
_LONG_REPETITION = re.compile(r"(.)\1{31,}", re.DOTALL)
_IDENTITY_ID = re.compile(r"[\w-]+:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: The representation of an id that no step has remembered.
UNKNOWN_ID = "(another id)"


class Names:
    """The values of the placeholders in one run.

    Args:
        given: The initial values: unique strings that are not parts of other strings.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self._values: dict[str, Json] = dict(given)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> Json:
        return self._values[name]

    def remember(self, name: str, value: Json) -> None:
        """Names a text or a list of texts."""
        self._values[name] = value

    def filled(self, value: Json) -> Json:
        """Returns the value with its placeholders replaced."""
        return mapped(value, lambda text: _PLACEHOLDER.sub(self._value, text))

    def shown(self, value: Json) -> Json:
        """Returns the value with placeholders in place of their values; the first name of a string counts."""
        texts = {text: name for name, text in reversed(self._values.items()) if isinstance(text, str)}
        names = {text: f"${{{name}}}" for text, name in texts.items()}

        def show(text: str) -> str:
            text = _LONG_REPETITION.sub(lambda match: f"${{{match[1]}*{len(match[0])}}}", replaced(text, names))
            return _IDENTITY_ID.sub(UNKNOWN_ID, text)

        return mapped(value, show, keys=False)

    def listed(self, value: Json) -> Json:
        """Returns the value with the remembered lists in the place of their placeholders."""
        if isinstance(value, dict):
            return {name: self.listed(each) for name, each in value.items()}
        if isinstance(value, list):
            return [each for item in value for each in self._items(item)]
        return value

    def _items(self, item: Json) -> list[Json]:
        match = isinstance(item, str) and _PLACEHOLDER.fullmatch(item)
        value = self._values.get(match[1]) if match else None
        return self.shown(value) if isinstance(value, list) else [self.listed(item)]

    def _value(self, match: re.Match[str]) -> str:
        if repetition := _REPETITION.fullmatch(match[1]):
            return repetition[1] * int(repetition[2])
        return str(self._values[match[1]])


def names_in(value: Json) -> set[str]:
    """Returns the names of the value's placeholders."""
    return {name for text in _texts(value) for name in _PLACEHOLDER.findall(text) if not _REPETITION.fullmatch(name)}


def with_ranges(value: Json) -> Json:
    """Returns the value with each key and item with a range, such as `${1..20}`, repeated for every number."""
    if isinstance(value, dict):
        return {name: with_ranges(each) for key, each in value.items() for name in numbered(key)}
    if isinstance(value, list):
        return [each for item in value for each in (numbered(item) if isinstance(item, str) else [with_ranges(item)])]
    return value


def numbered(text: str) -> list[str]:
    """Returns the text for every number of its range; the text itself without a range."""
    return [text] if (match := _RANGE.search(text)) is None else [text.replace(match[0], n) for n in numbers_in(text)]


def numbers_in(text: str) -> list[str]:
    """Returns the numbers of a text's range."""
    match = _RANGE.search(text)
    return [] if match is None else [str(number) for number in range(int(match[1]), int(match[2]) + 1)]


def mapped(value: Json, change: Callable[[str], str], *, keys: bool = True) -> Json:
    """Returns the value with a function applied to every text; with `keys`, also to the names of members."""
    if isinstance(value, dict):
        return {change(name) if keys else name: mapped(each, change, keys=keys) for name, each in value.items()}
    if isinstance(value, list):
        return [mapped(each, change, keys=keys) for each in value]
    return change(value) if isinstance(value, str) else value


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value
