"""The operations of AWSCognitoIdentityService in the contract: conversions between AWS JSON and its messages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from google.protobuf.duration_pb2 import Duration

from tokend_server.aws_json.shaped import IDENTITY_ID, NEXT_TOKEN, Output, ShapedOperation, field_of
from tokend_server.aws_json.shapes import Integer, Seconds, Text, TextMap
from tokend_server.model import MAX_LOGIN_LENGTH, DeveloperIdentity, IssuedToken, Operation
from tokend_server.rpc.operations import OPERATIONS as SERVED
from tokend_server.rpc.operations import ServedOperation

_DEVELOPER_PROVIDER_NAME = Text(128, r"[\w._-]+")
_USER = Text(1024, is_secret=True)


@dataclass(frozen=True, slots=True)
class AwsOperation(ShapedOperation):
    """An operation of the contract; a member of its input is the contract's field of the same name in snake_case.

    Attributes:
        to_output: Makes the output from the engine's result.
    """

    name: Operation
    to_output: Callable[[Any], Output]

    @property
    def served(self) -> ServedOperation[Any, Any, Any]:
        """The contract's row of the operation."""
        return SERVED[self.name]

    def message(self, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a message of the operation's type
        """Returns the contract's message with these members; a number of seconds is a Duration there."""
        fields = {
            field_of(name): Duration(seconds=value) if isinstance(self.members[name], Seconds) else value
            for name, value in given.items()
        }
        return self.served.message(**fields)


def _token_output(issued: IssuedToken) -> Output:
    return {"IdentityId": issued.identity_id, "Token": issued.token.reveal()}


def _lookup_output(found: DeveloperIdentity) -> Output:
    users = [user.reveal() for user in found.developer_user_identifiers]
    output = {"IdentityId": found.identity_id, "DeveloperUserIdentifierList": users}
    return output | {"NextToken": found.next_token} if found.next_token else output


OPERATIONS: Mapping[str, AwsOperation] = MappingProxyType(
    {
        operation.name: operation
        for operation in (
            AwsOperation(
                Operation.GET_OPEN_ID_TOKEN_FOR_DEVELOPER_IDENTITY,
                {
                    "IdentityPoolId": IDENTITY_ID,
                    "IdentityId": IDENTITY_ID,
                    "Logins": TextMap(10, Text(128), Text(MAX_LOGIN_LENGTH, is_secret=True)),
                    "PrincipalTags": TextMap(50, Text(128), Text(256)),
                    "TokenDuration": Seconds(1, 86_400),
                },
                frozenset({"IdentityPoolId", "Logins"}),
                _token_output,
            ),
            AwsOperation(
                Operation.LOOKUP_DEVELOPER_IDENTITY,
                {
                    "IdentityPoolId": IDENTITY_ID,
                    "IdentityId": IDENTITY_ID,
                    "DeveloperUserIdentifier": _USER,
                    "MaxResults": Integer(1, 60),
                    "NextToken": NEXT_TOKEN,
                },
                frozenset({"IdentityPoolId"}),
                _lookup_output,
            ),
            AwsOperation(
                Operation.MERGE_DEVELOPER_IDENTITIES,
                {
                    "SourceUserIdentifier": _USER,
                    "DestinationUserIdentifier": _USER,
                    "DeveloperProviderName": _DEVELOPER_PROVIDER_NAME,
                    "IdentityPoolId": IDENTITY_ID,
                },
                frozenset(
                    {"SourceUserIdentifier", "DestinationUserIdentifier", "DeveloperProviderName", "IdentityPoolId"}
                ),
                lambda identity_id: {"IdentityId": identity_id},
            ),
            AwsOperation(
                Operation.UNLINK_DEVELOPER_IDENTITY,
                {
                    "IdentityId": IDENTITY_ID,
                    "IdentityPoolId": IDENTITY_ID,
                    "DeveloperProviderName": _DEVELOPER_PROVIDER_NAME,
                    "DeveloperUserIdentifier": _USER,
                },
                frozenset({"IdentityId", "IdentityPoolId", "DeveloperProviderName", "DeveloperUserIdentifier"}),
                lambda _none: None,
            ),
        )
    }
)
