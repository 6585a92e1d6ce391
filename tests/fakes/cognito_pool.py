"""A pool in Cognito with its listing operations, over HTTP on the loopback."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from tests.fakes.http_connections import HttpRequest
from tests.fakes.scripted_upstream import ScriptedUpstream

from tokend_server.aws_json.errors import AwsError
from tokend_server.aws_json.wire import AwsResponse, canonical_headers, error_response, success_response
from tokend_server.engine import Engine

_REQUEST_ID = "11111111-2222-4333-8444-555555555555"


@dataclass
class Listed:
    """An identity: its developer users, and the names of its logins in ListIdentities."""

    users: list[str] = field(default_factory=list)
    provider_names: list[str] = field(default_factory=list)
    disabled: bool = False
    modified: float = 1_700_000_100.5


class CognitoPool(ScriptedUpstream):
    """Serves DescribeIdentityPool, ListIdentities and LookupDeveloperIdentity.

    Its pages have the requested size, like Cognito's.

    Args:
        identity_pool_id: The pool.
        provider: Its developer provider.
        page: The maximum number of users of an identity on a page, regardless of the request.
    """

    def __init__(self, identity_pool_id: str, provider: str, *, page: int = 60) -> None:
        super().__init__()
        self.identities: dict[str, Listed] = {}
        self._identity_pool_id = identity_pool_id
        self._provider = provider
        self._page = page

    def count(self, operation: str) -> int:
        return sum(request.operation == operation for request in self.requests)

    def _answer(self, request: HttpRequest, engines: Mapping[str, Engine] | None) -> AwsResponse:  # noqa: ARG002 - none behind it
        members = orjson.loads(request.body)
        try:
            return success_response(
                self._output(canonical_headers(request.headers)["x-amz-target"], members), _REQUEST_ID
            )
        except AwsError as error:
            return error_response(error, _REQUEST_ID)

    def _output(self, target: str, members: Mapping[str, Any]) -> dict[str, object]:
        if members["IdentityPoolId"] != self._identity_pool_id:
            text = f"IdentityPool '{members['IdentityPoolId']}' not found."
            raise AwsError("ResourceNotFoundException", text, 400)
        pool: dict[str, object] = {"IdentityPoolId": self._identity_pool_id}
        match target.rpartition(".")[2]:
            case "DescribeIdentityPool":
                return pool | {"DeveloperProviderName": self._provider}
            case "ListIdentities":
                shown = [
                    key for key, each in self.identities.items() if not (each.disabled and members["HideDisabled"])
                ]
                return pool | self._paged("Identities", [self._described(key) for key in shown], members, 60)
            case "LookupDeveloperIdentity":
                identity_id = members["IdentityId"]
                if not self.identities[identity_id].users:
                    raise AwsError("ResourceNotFoundException", f"Identity '{identity_id}' not found.", 400)
                users = self.identities[identity_id].users
                return {"IdentityId": identity_id} | self._paged(
                    "DeveloperUserIdentifierList", users, members, self._page
                )
        raise AwsError("UnknownOperationException", "", 400)

    def _described(self, identity_id: str) -> dict[str, object]:
        each = self.identities[identity_id]
        return {
            "IdentityId": identity_id,
            "Logins": each.provider_names,
            "CreationDate": 1_700_000_000.25,
            "LastModifiedDate": each.modified,
        }

    def _paged(self, member: str, items: list[Any], members: Mapping[str, Any], most: int) -> dict[str, object]:
        start, size = int(members.get("NextToken", 0)), min(most, members["MaxResults"])
        following = {"NextToken": str(start + size)} if start + size < len(items) else {}
        return {member: items[start : start + size], **following}
