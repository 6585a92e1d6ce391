"""The shapes of members with nested members, as in AWS's model of the service."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tokend_server.aws_json.document import list_of, map_of, text
from tokend_server.aws_json.shapes import NULL, Shape, Text, length_violations


class Violation(NamedTuple):
    """A constraint that a value within a member violates.

    Attributes:
        path: The path of the value in AWS's form, such as `.1.member.clientId`; empty for the member itself.
        constraint: The constraint.
        shown: The value as shown in texts.
    """

    path: str
    constraint: str
    shown: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A string with a set of allowed values."""

    words: tuple[str, ...]

    def read(self, value: object) -> str:
        return text(value)

    def violations(self, value: str) -> Iterator[str]:
        if value not in self.words:
            yield f"Member must satisfy enum value set: [{', '.join(self.words)}]"

    def shown(self, value: str) -> str:
        return f"'{value}'"


class _Container:
    """The base of containers: their values are not shown."""

    __slots__ = ()

    def violations(self, value: Any) -> Iterator[str]:  # noqa: ANN401 - a value of the shape
        return (each.constraint for each in self.nested_violations(value))

    def nested_violations(self, value: Any) -> Iterator[Violation]:  # noqa: ANN401 - as above
        raise NotImplementedError

    def shown(self, _value: Any) -> str:  # noqa: ANN401 - as above
        return ""


@dataclass(frozen=True, slots=True)
class Structure(_Container):
    """A structure of members with shapes.

    Attributes:
        members: The shapes.
        required: The required members.
    """

    members: Mapping[str, Shape]
    required: frozenset[str] = frozenset()

    def read(self, value: object) -> dict[str, Any]:
        given = map_of(value)
        return {name: shape.read(given[name]) for name, shape in self.members.items() if name in given}

    def nested_violations(self, value: Mapping[str, Any]) -> Iterator[Violation]:
        for name, shape in self.members.items():
            path = f".{name[0].lower()}{name[1:]}"
            if name in value:
                yield from _below(path, shape, value[name])
            elif name in self.required:
                yield Violation(path, "Member must not be null", NULL)


@dataclass(frozen=True, slots=True)
class ListOf(_Container):
    """A list.

    Attributes:
        member: The shape of each member.
        min_length: The minimum number.
        max_length: The maximum number; None for any number.
    """

    member: Structure
    min_length: int = 0
    max_length: int | None = None

    def read(self, value: object) -> list[Any]:
        return [self.member.read(each) for each in list_of(value)]

    def nested_violations(self, value: Sequence[Any]) -> Iterator[Violation]:
        for constraint in length_violations(value, self.min_length, self.max_length):
            yield Violation("", constraint, "")
        for number, each in enumerate(value, start=1):
            yield from _below(f".{number}.member", self.member, each)


@dataclass(frozen=True, slots=True)
class MapOf(_Container):
    """A map of strings to structures.

    Attributes:
        max_length: The maximum number of entries.
        key: The shape of each key.
        value: The shape of each value.
    """

    max_length: int
    key: Text
    value: Structure

    def read(self, value: object) -> dict[str, Any]:
        return {text(name): self.value.read(each) for name, each in map_of(value).items()}

    def nested_violations(self, value: Mapping[str, Any]) -> Iterator[Violation]:
        for constraint in length_violations(value, 0, self.max_length):
            yield Violation("", constraint, "")
        if any(any(self.key.violations(each)) for each in value):
            yield Violation("", f"Map keys must satisfy constraint: {self.key.constraints}", "")
        for number, each in enumerate(value.values(), start=1):
            yield from _below(f".{number}.value", self.value, each)


def nested_violations(shape: Shape, value: Any) -> Iterator[Violation]:  # noqa: ANN401 - a value of the shape
    """Yields the constraints that a value of a shape violates, including nested ones."""
    if isinstance(shape, _Container):
        yield from shape.nested_violations(value)
        return
    for constraint in shape.violations(value):
        yield Violation("", constraint, shape.shown(value))


def _below(path: str, shape: Shape, value: Any) -> Iterator[Violation]:  # noqa: ANN401 - a value of the shape
    return (each._replace(path=path + each.path) for each in nested_violations(shape, value))
