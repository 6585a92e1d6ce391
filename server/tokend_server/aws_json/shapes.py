"""The shapes of members, as in AWS's model of the service: their types and constraints.

Texts are those of AWS's ValidationException, with the value unless it is a secret.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import Any, Protocol

from tokend_server.aws_json.document import boolean, integer, list_of, long, map_of, text

#: The text for a member that is not given.
NULL = "null"

#: Python's equivalents of patterns in AWS's model: here, anything except white space and control characters.
_PYTHON_PATTERNS = {
    r"[\p{L}\p{M}\p{S}\p{N}\p{P}]+": r"[^\x00-\x20\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]+"
}


class Shape(Protocol):
    """The type and the constraints of a member."""

    def read(self, value: object) -> Any:  # noqa: ANN401 - a value of the shape
        """Returns the value of a JSON value that is not null.

        Raises:
            AwsError: SerializationException: it is of another type.
        """
        ...

    def violations(self, value: Any) -> Iterable[str]:  # noqa: ANN401 - as above
        """Yields the constraints that a value violates, in AWS's words."""
        ...

    def shown(self, value: Any) -> str:  # noqa: ANN401 - as above
        """Returns a value as shown in texts; empty for a secret."""
        ...


def length_violations(value: Sized, minimum: int, maximum: int | None) -> Iterator[str]:
    """Yields the constraints of a length that a value violates; a maximum of None allows any length."""
    if len(value) < minimum:
        yield f"Member must have length greater than or equal to {minimum}"
    if maximum is not None and len(value) > maximum:
        yield f"Member must have length less than or equal to {maximum}"


@dataclass(frozen=True, slots=True)
class Text:
    """A string.

    Attributes:
        max_length: The maximum length in characters.
        pattern: A regular expression for the whole string.
        is_secret: Whether it is not shown.
        min_length: The minimum length in characters.
    """

    max_length: int
    pattern: str | None = None
    is_secret: bool = False
    min_length: int = 1

    def read(self, value: object) -> str:
        return text(value)

    def violations(self, value: str) -> Iterator[str]:
        yield from length_violations(value, self.min_length, self.max_length)
        if self.pattern and not re.fullmatch(_PYTHON_PATTERNS.get(self.pattern, self.pattern), value, re.ASCII):
            yield f"Member must satisfy regular expression pattern: {self.pattern}"

    def shown(self, value: str) -> str:
        return "" if self.is_secret else f"'{value}'"

    @property
    def constraints(self) -> str:
        """All constraints, in the order in which AWS lists them for the entries of a map."""
        lengths = f"Member must have length less than or equal to {self.max_length}, "
        pattern = f", Member must satisfy regular expression pattern: {self.pattern}" if self.pattern else ""
        return f"[{lengths}Member must have length greater than or equal to {self.min_length}{pattern}]"


@dataclass(frozen=True, slots=True)
class TextMap:
    """A map of strings to strings.

    Attributes:
        max_length: The maximum number of entries; None for any number.
        key: The shape of each key.
        value: The shape of each value.
    """

    max_length: int | None
    key: Text
    value: Text

    def read(self, value: object) -> dict[str, str]:
        return {text(name): text(each) for name, each in map_of(value).items()}

    def violations(self, value: Mapping[str, str]) -> Iterator[str]:
        yield from length_violations(value, 0, self.max_length)
        if any(any(self.key.violations(each)) for each in value):
            yield f"Map keys must satisfy constraint: {self.key.constraints}"
        if any(any(self.value.violations(each)) for each in value.values()):
            yield f"Map value must satisfy constraint: {self.value.constraints}"

    def shown(self, value: Mapping[str, str]) -> str:
        if self.value.is_secret:
            return ""
        return f"'{{{', '.join(f'{name}={each}' for name, each in value.items())}}}'"


@dataclass(frozen=True, slots=True)
class TextList:
    """A list of strings.

    Attributes:
        member: The shape of each string.
        min_length: The minimum number of strings.
        max_length: The maximum number of strings; None for any number.
    """

    member: Text
    min_length: int = 0
    max_length: int | None = None

    def read(self, value: object) -> list[str]:
        return [text(each) for each in list_of(value)]

    def violations(self, value: list[str]) -> Iterator[str]:
        yield from length_violations(value, self.min_length, self.max_length)
        if any(any(self.member.violations(each)) for each in value):
            yield f"Member must satisfy constraint: {self.member.constraints}"

    def shown(self, value: list[str]) -> str:
        return f"'[{', '.join(value)}]'"


@dataclass(frozen=True, slots=True)
class Flag:
    """A Boolean."""

    def read(self, value: object) -> bool:
        return boolean(value)

    def violations(self, _value: bool) -> Iterable[str]:  # noqa: FBT001 - the value of a member
        return ()

    def shown(self, value: bool) -> str:  # noqa: FBT001 - as above
        return f"'{str(value).lower()}'"


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer of 32 bits within a range."""

    minimum: int
    maximum: int

    def read(self, value: object) -> int:
        return integer(value)

    def violations(self, value: int) -> Iterator[str]:
        if value < self.minimum:
            yield f"Member must have value greater than or equal to {self.minimum}"
        if value > self.maximum:
            yield f"Member must have value less than or equal to {self.maximum}"

    def shown(self, value: int) -> str:
        return f"'{value}'"


@dataclass(frozen=True, slots=True)
class Seconds(Integer):
    """A number of seconds within a range, of 64 bits."""

    def read(self, value: object) -> int:
        return long(value)
