"""The operations of AWSCognitoIdentityService that there are, between AWS JSON and the contract's messages."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf.message import Message

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend_server.aws_json.document import Reader, integer, seconds, text, text_map
from tokend_server.clock import Deadline
from tokend_server.engine import Engine
from tokend_server.errors import FieldViolation, ValidationFailed
from tokend_server.model import ANONYMOUS, DEFAULT_TOKEN_DURATION, Operation
from tokend_server.rpc import convert, operations
from tokend_server.rpc.validation import Check, check_limits

#: The members of a response; None for an operation without output.
Output: TypeAlias = Mapping[str, object] | None

#: What a member breaks that is given but, as a field of the contract, would say that it is not.
_BLANK: Mapping[object, str] = {
    "": "Member must have length greater than or equal to 1",
    0: "Member must have value greater than or equal to 1",
}


@dataclass(frozen=True, slots=True)
class AwsOperation:
    """One operation.

    Attributes:
        name: Its name.
        members: How each member of its input is read; a member is the field of the same name in snake_case.
        perform: Hands a request within all limits to an engine, and returns the output.
    """

    name: Operation
    members: Mapping[str, Reader]
    perform: Callable[[Engine, Any, Deadline], Output]

    def read(self, document: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a message of the operation's type
        """The request that a JSON object stands for; members that the operation does not have are passed over.

        Raises:
            AwsError: SerializationException: a member has the wrong type.
            ValidationFailed: Members break their limits or are missing; it names all of them.
        """
        fields = {_field(name): read(document[name]) for name, read in self.members.items() if name in document}
        served = operations.OPERATIONS[self.name]
        message = served.message(**fields)
        blank = [FieldViolation(field, _BLANK[value]) for field, value in fields.items() if value in ("", 0)]
        violations = [*_broken_limits(served.limits, message, {each.field for each in blank}), *blank]
        if violations:
            raise ValidationFailed(violations)
        return message


def _field(member: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in member).removeprefix("_")


def _broken_limits(limits: Iterable[Check], message: Message, but_for: Iterable[str]) -> list[FieldViolation]:
    try:
        check_limits(limits, message)
    except ValidationFailed as error:
        return [violation for violation in error.violations if violation.field not in but_for]
    return []


def _get(engine: Engine, message: pb.GetOpenIdTokenForDeveloperIdentityRequest, deadline: Deadline) -> Output:
    request = convert.token_request(message, ANONYMOUS, DEFAULT_TOKEN_DURATION)
    issued = engine.get_open_id_token_for_developer_identity(request, deadline)
    return {"IdentityId": issued.identity_id, "Token": issued.token.reveal()}


def _lookup(engine: Engine, message: pb.LookupDeveloperIdentityRequest, deadline: Deadline) -> Output:
    found = engine.lookup_developer_identity(convert.lookup_request(message, ANONYMOUS), deadline)
    users = [user.reveal() for user in found.developer_user_identifiers]
    output = {"IdentityId": found.identity_id, "DeveloperUserIdentifierList": users}
    return output | {"NextToken": found.next_token} if found.next_token else output


def _merge(engine: Engine, message: pb.MergeDeveloperIdentitiesRequest, deadline: Deadline) -> Output:
    return {"IdentityId": engine.merge_developer_identities(convert.merge_request(message), deadline)}


def _unlink(engine: Engine, message: pb.UnlinkDeveloperIdentityRequest, deadline: Deadline) -> Output:
    engine.unlink_developer_identity(convert.unlink_request(message), deadline)
    return None


OPERATIONS: Mapping[str, AwsOperation] = {
    operation.name: operation
    for operation in (
        AwsOperation(
            Operation.GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY,
            {
                "IdentityPoolId": text,
                "IdentityId": text,
                "Logins": text_map,
                "PrincipalTags": text_map,
                "TokenDuration": seconds,
            },
            _get,
        ),
        AwsOperation(
            Operation.LOOKUP_DEVELOPER_IDENTITY,
            {
                "IdentityPoolId": text,
                "IdentityId": text,
                "DeveloperUserIdentifier": text,
                "MaxResults": integer,
                "NextToken": text,
            },
            _lookup,
        ),
        AwsOperation(
            Operation.MERGE_DEVELOPER_IDENTITIES,
            {
                "SourceUserIdentifier": text,
                "DestinationUserIdentifier": text,
                "DeveloperProviderName": text,
                "IdentityPoolId": text,
            },
            _merge,
        ),
        AwsOperation(
            Operation.UNLINK_DEVELOPER_IDENTITY,
            {
                "IdentityId": text,
                "IdentityPoolId": text,
                "DeveloperProviderName": text,
                "DeveloperUserIdentifier": text,
            },
            _unlink,
        ),
    )
}
