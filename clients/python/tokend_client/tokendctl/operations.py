"""The operations of the service, with the commands, members and outputs of the AWS CLI."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from tokend_client.client import Client
from tokend_client.tokendctl.kinds import Integer, Kind, String, StringMap

#: Request fields by their names in the contract, each with the Python type of its kind.
Fields: TypeAlias = Mapping[str, Any]

#: A response with AWS's member names in AWS's order; empty for an operation without output.
Document: TypeAlias = dict[str, str | list[str]]


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a request.

    Attributes:
        field: Its name in the contract, such as `identity_pool_id`.
        kind: Its type and its limits.
        text: Its description, for the help.
        required: Whether it is required.
        default: Its default, for the help.
    """

    field: str
    kind: Kind
    text: str
    required: bool = False
    default: str | None = None

    @property
    def name(self) -> str:
        """Its name in AWS's JSON, such as `IdentityPoolId`."""
        return "".join(part.capitalize() for part in self.field.split("_"))

    @property
    def option(self) -> str:
        """Its name in the AWS CLI, such as `--identity-pool-id`."""
        return f"--{self.field.replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class Output:
    """A member of a response, with its value in AWS's sample output."""

    name: str
    text: str
    sample: str | list[str]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the service.

    Attributes:
        name: Its name in AWS's API, such as `LookupDeveloperIdentity`.
        text: Its description, for the help.
        members: The members of its request, in AWS's order.
        outputs: The members of its response, in AWS's order.
        call: Calls the operation with the given fields. Raises `TokendError`.
    """

    name: str
    text: str
    members: tuple[Member, ...]
    outputs: tuple[Output, ...]
    call: Callable[[Client, Fields], Document]

    @property
    def command(self) -> str:
        """Its name in the AWS CLI, such as `lookup-developer-identity`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", self.name).lower()


def operations() -> tuple[Operation, ...]:
    """Returns all operations of the service."""
    identity = String(1, 55)
    user = String(1, 1024)
    identity_pool_id = Member("identity_pool_id", identity, "The identity pool, as REGION:GUID.", required=True)
    developer_provider_name = Member(
        "developer_provider_name", String(1, 128), "The pool's developer provider.", required=True
    )
    identity_id = Output("IdentityId", "The identity, as REGION:GUID.", "IdentityId")
    return (
        Operation(
            "GetOpenIdTokenForDeveloperIdentity",
            "Registers or retrieves the identity of a user, and returns an OpenID Connect token for it. With an "
            "identity id, links the logins to that identity.",
            (
                identity_pool_id,
                Member("identity_id", identity, "The identity to link the logins to.", default="create or find one"),
                Member(
                    "logins",
                    StringMap(String(1, 128), String(1, 50000), 10),
                    "Provider names to the user's identifier or ID token there.",
                    required=True,
                ),
                Member(
                    "principal_tags",
                    StringMap(String(1, 128), String(1, 256), 50),
                    "Session tags for the token.",
                    default="none",
                ),
                Member("token_duration", Integer(64, 1, 86400), "Seconds that the token is valid.", default="900"),
            ),
            (identity_id, Output("Token", "The token, a JWT. It is a secret.", "Token")),
            _get_open_id_token_for_developer_identity,
        ),
        Operation(
            "LookupDeveloperIdentity",
            "Finds the identity of a developer user, or the developer users of an identity. Requires one of the two.",
            (
                identity_pool_id,
                Member("identity_id", identity, "The identity."),
                Member("developer_user_identifier", user, "The developer user."),
                Member("max_results", Integer(32, 1, 60), "The maximum number of users on a page.", default="60"),
                Member("next_token", String(1, 65535), "The NextToken of the previous page.", default="the first page"),
            ),
            (
                identity_id,
                Output("DeveloperUserIdentifierList", "The identity's developer users.", ["DeveloperUserIdentifier"]),
                Output("NextToken", "Present if there are more users; requests the next page.", "NextToken"),
            ),
            _lookup_developer_identity,
        ),
        Operation(
            "MergeDeveloperIdentities",
            "Moves all logins of the source user's identity to the destination user's, and disables the former.",
            (
                Member("source_user_identifier", user, "The user whose identity is disabled.", required=True),
                Member("destination_user_identifier", user, "The user whose identity remains.", required=True),
                developer_provider_name,
                identity_pool_id,
            ),
            (identity_id,),
            _merge_developer_identities,
        ),
        Operation(
            "UnlinkDeveloperIdentity",
            "Unlinks a developer user from an identity. The user's next token is for a new identity.",
            (
                Member("identity_id", identity, "The identity to unlink from.", required=True),
                identity_pool_id,
                developer_provider_name,
                Member("developer_user_identifier", user, "The user to unlink.", required=True),
            ),
            (),
            _unlink_developer_identity,
        ),
    )


def _get_open_id_token_for_developer_identity(client: Client, fields: Fields) -> Document:
    duration = {"token_duration": _seconds(fields["token_duration"])} if "token_duration" in fields else {}
    issued = client.get_open_id_token_for_developer_identity(**{**fields, **duration})
    return {"IdentityId": issued.identity_id, "Token": issued.value}


def _lookup_developer_identity(client: Client, fields: Fields) -> Document:
    found = client.lookup_developer_identity(**fields)
    output: Document = {
        "IdentityId": found.identity_id,
        "DeveloperUserIdentifierList": list(found.developer_user_identifiers),
    }
    return output | ({"NextToken": found.next_token} if found.next_token else {})


def _merge_developer_identities(client: Client, fields: Fields) -> Document:
    return {"IdentityId": client.merge_developer_identities(**fields)}


def _unlink_developer_identity(client: Client, fields: Fields) -> Document:
    client.unlink_developer_identity(**fields)
    return {}


def _seconds(seconds: int) -> timedelta:
    # The service rejects durations beyond timedelta's range like its maximum.
    return timedelta(seconds=min(seconds, timedelta.max // timedelta(seconds=1)))
