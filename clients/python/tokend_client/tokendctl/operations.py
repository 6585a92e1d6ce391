"""The operations of the service, as the AWS CLI presents them: commands, members, outputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from tokend_client.client import TokendClient
from tokend_client.tokendctl.kinds import Integer, Kind, String, StringMap

#: Request fields under their names in the contract, each of the Python type that its kind reads.
Fields: TypeAlias = Mapping[str, Any]

#: A response with AWS's member names and their order; None for an operation that answers nothing.
Output: TypeAlias = dict[str, str | list[str]] | None


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a request.

    Attributes:
        field: Its name in the contract, such as `identity_pool_id`.
        kind: Its type.
        text: What it is, for the help.
        required: Whether a request is refused without it.
    """

    field: str
    kind: Kind
    text: str
    required: bool = False

    @property
    def name(self) -> str:
        """Its name in AWS's JSON, such as `IdentityPoolId`."""
        return "".join(part.capitalize() for part in self.field.split("_"))

    @property
    def option(self) -> str:
        """Its name in the AWS CLI, such as `--identity-pool-id`."""
        return f"--{self.field.replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the service.

    Attributes:
        command: Its name in the AWS CLI.
        text: What it does, for the help.
        members: The members of its request, in AWS's order.
        call: Calls it with the given fields. Raises `TokendError`.
    """

    command: str
    text: str
    members: tuple[Member, ...]
    call: Callable[[TokendClient, Fields], Output]


def operations() -> tuple[Operation, ...]:
    """All operations of the service."""
    identity_pool_id = Member("identity_pool_id", String(), "The identity pool, as REGION:GUID.", required=True)
    developer_provider_name = Member("developer_provider_name", String(), "The developer provider.", required=True)
    return (
        Operation(
            "get-open-id-token-for-developer-identity",
            "Register or retrieve an identity, and get an OpenID Connect token for it.",
            (
                identity_pool_id,
                Member("identity_id", String(), "The identity to link the logins to."),
                Member("logins", StringMap(), "Provider names to user identifiers or ID tokens.", required=True),
                Member("principal_tags", StringMap(), "Session tags for the token."),
                Member("token_duration", Integer(64), "How long the token is to be valid, in seconds."),
            ),
            _get_open_id_token_for_developer_identity,
        ),
        Operation(
            "lookup-developer-identity",
            "Find an identity by its developer user, or the developer users of an identity.",
            (
                identity_pool_id,
                Member("identity_id", String(), "The identity."),
                Member("developer_user_identifier", String(), "The developer user."),
                Member("max_results", Integer(32), "The most identifiers to return."),
                Member("next_token", String(), "The NextToken of the page before."),
            ),
            _lookup_developer_identity,
        ),
        Operation(
            "merge-developer-identities",
            "Move all logins of one developer user's identity to another's.",
            (
                Member("source_user_identifier", String(), "The user whose identity is given up.", required=True),
                Member("destination_user_identifier", String(), "The user whose identity stays.", required=True),
                developer_provider_name,
                identity_pool_id,
            ),
            _merge_developer_identities,
        ),
        Operation(
            "unlink-developer-identity",
            "Unlink a developer user from an identity.",
            (
                Member("identity_id", String(), "The identity to unlink from.", required=True),
                identity_pool_id,
                developer_provider_name,
                Member("developer_user_identifier", String(), "The user to unlink.", required=True),
            ),
            _unlink_developer_identity,
        ),
    )


def _get_open_id_token_for_developer_identity(client: TokendClient, fields: Fields) -> Output:
    duration = {"token_duration": _seconds(fields["token_duration"])} if "token_duration" in fields else {}
    issued = client.get_open_id_token_for_developer_identity(**{**fields, **duration})
    return {"IdentityId": issued.identity_id, "Token": issued.token}


def _lookup_developer_identity(client: TokendClient, fields: Fields) -> Output:
    found = client.lookup_developer_identity(**fields)
    output: dict[str, str | list[str]] = {
        "IdentityId": found.identity_id,
        "DeveloperUserIdentifierList": list(found.developer_user_identifiers),
    }
    return output | ({"NextToken": found.next_token} if found.next_token else {})


def _merge_developer_identities(client: TokendClient, fields: Fields) -> Output:
    return {"IdentityId": client.merge_developer_identities(**fields)}


def _unlink_developer_identity(client: TokendClient, fields: Fields) -> Output:
    client.unlink_developer_identity(**fields)
    return None


def _seconds(seconds: int) -> timedelta:
    # What no timedelta can hold is refused by the service just as the nearest one is.
    longest = timedelta.max // timedelta(seconds=1)
    return timedelta(seconds=max(-longest, min(seconds, longest)))
