"""The common parts of AWS's operations: a name, and the shapes of the input."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from tokend_server.aws_json.nested_shapes import nested_violations
from tokend_server.aws_json.shapes import NULL, Shape, Text
from tokend_server.errors import FieldViolation, ValidationFailed
from tokend_server.model import CognitoOperation, Operation, StsOperation

#: The members of a response; None for an operation without output.
Output: TypeAlias = Mapping[str, object] | None

#: The id of an identity, or of a pool.
IDENTITY_ID = Text(55, r"[\w-]+:[0-9a-f-]+")

NEXT_TOKEN = Text(65_535, r"[\S]+")


@dataclass(frozen=True, slots=True)
class ShapedOperation:
    """An operation.

    Attributes:
        name: Its name.
        members: The members of its input.
        required: The required members.
    """

    name: Operation | CognitoOperation | StsOperation
    members: Mapping[str, Shape]
    required: frozenset[str]

    def read(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Parses the members of its input from a JSON object; unknown members are ignored.

        Raises:
            AwsError: SerializationException: a member has the wrong type.
        """
        return {name: shape.read(document[name]) for name, shape in self.members.items() if name in document}

    def check(self, given: Mapping[str, Any]) -> None:
        """Checks all members.

        Raises:
            ValidationFailed: Members violate their constraints or are missing; the error lists all of them.
        """
        if violations := [*self._violations(given)]:
            raise ValidationFailed(violations)

    def _violations(self, given: Mapping[str, Any]) -> Iterator[FieldViolation]:
        for name, shape in self.members.items():
            if name in given:
                for path, constraint, shown in nested_violations(shape, given[name]):
                    yield FieldViolation(field_of(name) + path, constraint, shown)
            elif name in self.required:
                yield FieldViolation(field_of(name), "Member must not be null", NULL)


#: An operation, and the function that performs it for the current call with the members of its input, which are not
#: checked yet.
PerformedOperation: TypeAlias = tuple[ShapedOperation, Callable[[Mapping[str, Any]], Output]]


def field_of(member: str) -> str:
    """Returns the name of a member in snake_case."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in member).removeprefix("_")
