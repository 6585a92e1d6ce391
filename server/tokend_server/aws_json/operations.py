"""The operations of AWSCognitoIdentityService that there are, between AWS JSON and the contract's messages."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from tokend_server.aws_json.shapes import NULL, Integer, Seconds, Shape, Text, TextMap
from tokend_server.errors import FieldViolation, ValidationFailed
from tokend_server.model import DeveloperIdentity, IssuedToken, Operation
from tokend_server.rpc.operations import OPERATIONS as SERVED
from tokend_server.rpc.operations import ServedOperation

#: The members of a response; None for an operation without output.
Output: TypeAlias = Mapping[str, object] | None

_ID = Text(55, r"[\w-]+:[0-9a-f-]+")
_DEVELOPER_PROVIDER_NAME = Text(128, r"[\w._-]+")
_USER = Text(1024, is_secret=True)


@dataclass(frozen=True, slots=True)
class AwsOperation:
    """One operation.

    Attributes:
        name: Its name.
        members: The members of its input; a member is the contract's field of the same name in snake_case.
        required: Those that have to be given.
        to_output: Makes the output of the engine's result.
    """

    name: Operation
    members: Mapping[str, Shape]
    required: frozenset[str]
    to_output: Callable[[Any], Output]

    @property
    def served(self) -> ServedOperation[Any, Any, Any]:
        """How the contract serves it."""
        return SERVED[self.name]

    def read(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The members of its input that a JSON object has; those that the operation does not have are passed over.

        Raises:
            AwsError: SerializationException: a member has the wrong type.
        """
        return {name: shape.read(document[name]) for name, shape in self.members.items() if name in document}

    def message(self, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a message of the operation's type
        """The contract's message with these members."""
        fields = {_field(name): self.members[name].field(value) for name, value in given.items()}
        return self.served.message(**fields)

    def check(self, given: Mapping[str, Any]) -> None:
        """Checks all members.

        Raises:
            ValidationFailed: Members break their constraints or are missing; it names all of them.
        """
        if violations := [*self._violations(given)]:
            raise ValidationFailed(violations)

    def _violations(self, given: Mapping[str, Any]) -> Iterator[FieldViolation]:
        for name, shape in self.members.items():
            if name in given:
                value = given[name]
                for constraint in shape.broken(value):
                    yield FieldViolation(_field(name), constraint, shape.shown(value))
            elif name in self.required:
                yield FieldViolation(_field(name), "Member must not be null", NULL)


def _field(member: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in member).removeprefix("_")


def _token(issued: IssuedToken) -> Output:
    return {"IdentityId": issued.identity_id, "Token": issued.token.reveal()}


def _found(found: DeveloperIdentity) -> Output:
    users = [user.reveal() for user in found.developer_user_identifiers]
    output = {"IdentityId": found.identity_id, "DeveloperUserIdentifierList": users}
    return output | {"NextToken": found.next_token} if found.next_token else output


def _merged(identity_id: str) -> Output:
    return {"IdentityId": identity_id}


def _unlinked(_result: None) -> Output:
    return None


OPERATIONS: Mapping[str, AwsOperation] = MappingProxyType(
    {
        operation.name: operation
        for operation in (
            AwsOperation(
                Operation.GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY,
                {
                    "IdentityPoolId": _ID,
                    "IdentityId": _ID,
                    "Logins": TextMap(10, Text(128), Text(50_000, is_secret=True)),
                    "PrincipalTags": TextMap(50, Text(128), Text(256)),
                    "TokenDuration": Seconds(1, 86_400),
                },
                frozenset({"IdentityPoolId", "Logins"}),
                _token,
            ),
            AwsOperation(
                Operation.LOOKUP_DEVELOPER_IDENTITY,
                {
                    "IdentityPoolId": _ID,
                    "IdentityId": _ID,
                    "DeveloperUserIdentifier": _USER,
                    "MaxResults": Integer(1, 60),
                    "NextToken": Text(65_535, r"[\S]+"),
                },
                frozenset({"IdentityPoolId"}),
                _found,
            ),
            AwsOperation(
                Operation.MERGE_DEVELOPER_IDENTITIES,
                {
                    "SourceUserIdentifier": _USER,
                    "DestinationUserIdentifier": _USER,
                    "DeveloperProviderName": _DEVELOPER_PROVIDER_NAME,
                    "IdentityPoolId": _ID,
                },
                frozenset(
                    {"SourceUserIdentifier", "DestinationUserIdentifier", "DeveloperProviderName", "IdentityPoolId"}
                ),
                _merged,
            ),
            AwsOperation(
                Operation.UNLINK_DEVELOPER_IDENTITY,
                {
                    "IdentityId": _ID,
                    "IdentityPoolId": _ID,
                    "DeveloperProviderName": _DEVELOPER_PROVIDER_NAME,
                    "DeveloperUserIdentifier": _USER,
                },
                frozenset({"IdentityId", "IdentityPoolId", "DeveloperProviderName", "DeveloperUserIdentifier"}),
                _unlinked,
            ),
        )
    }
)
