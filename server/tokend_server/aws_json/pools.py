"""The operations that show identity pools, their roles, tags and principal tags."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tokend_server.access.audit.record import AuditedRequest
from tokend_server.aws_json.admission import Admission
from tokend_server.aws_json.pool_shapes import ARN, PROVIDER_NAME
from tokend_server.aws_json.shaped import IDENTITY_ID, NEXT_TOKEN, Output, PerformedOperation, ShapedOperation
from tokend_server.aws_json.shapes import Integer
from tokend_server.engine import IdentityPools
from tokend_server.errors import InvalidParameter
from tokend_server.model import CognitoOperation, IdentityPool
from tokend_server.rpc.call import current_call

_POOL = frozenset({"IdentityPoolId"})

_DESCRIBE = ShapedOperation(CognitoOperation.DESCRIBE_IDENTITY_POOL, {"IdentityPoolId": IDENTITY_ID}, _POOL)
_LIST = ShapedOperation(
    CognitoOperation.LIST_IDENTITY_POOLS,
    {"MaxResults": Integer(1, 60), "NextToken": NEXT_TOKEN},
    frozenset({"MaxResults"}),
)
_GET_ROLES = ShapedOperation(CognitoOperation.GET_IDENTITY_POOL_ROLES, {"IdentityPoolId": IDENTITY_ID}, _POOL)
_LIST_TAGS = ShapedOperation(CognitoOperation.LIST_TAGS_FOR_RESOURCE, {"ResourceArn": ARN}, frozenset({"ResourceArn"}))
_GET_PRINCIPAL_TAGS = ShapedOperation(
    CognitoOperation.GET_PRINCIPAL_TAG_ATTRIBUTE_MAP,
    {"IdentityPoolId": IDENTITY_ID, "IdentityProviderName": PROVIDER_NAME},
    _POOL | {"IdentityProviderName"},
)

#: The ARN of a pool; the account is ignored, because clients without one omit it.
_POOL_ARN = re.compile(r"arn:[\w-]+:cognito-identity:([\w-]+):\d*:identitypool/(\1:[0-9a-f-]+)", re.ASCII)


class PoolOperations:
    """Performs the operations for the current call.

    Args:
        pools: The pools.
        admission: Checks policy and limits.
    """

    def __init__(self, pools: IdentityPools, admission: Admission) -> None:
        self._pools = pools
        self._admission = admission
        self.operations: Sequence[PerformedOperation] = (
            (_DESCRIBE, self._describe),
            (_LIST, self._list),
            (_GET_ROLES, self._get_roles),
            (_LIST_TAGS, self._list_tags),
            (_GET_PRINCIPAL_TAGS, self._get_principal_tags),
        )

    def _describe(self, given: Mapping[str, Any]) -> Output:
        return described(self._find_pool(_DESCRIBE, given))

    def _list(self, given: Mapping[str, Any]) -> Output:
        deadline = self._admission.admit(_LIST, given, AuditedRequest())
        region, most = current_call().region, given["MaxResults"]
        after = _last_of(given["NextToken"], region) if "NextToken" in given else ""
        found = self._pools.list(region, most + 1, after, deadline)
        page = [{"IdentityPoolId": each.identity_pool_id, "IdentityPoolName": each.name} for each in found[:most]]
        output = {"IdentityPools": page}
        return output | {"NextToken": _next_token(page[-1]["IdentityPoolId"])} if len(found) > most else output

    def _get_roles(self, given: Mapping[str, Any]) -> Output:
        pool = self._find_pool(_GET_ROLES, given)
        return {"IdentityPoolId": pool.identity_pool_id, **pool.roles}

    def _list_tags(self, given: Mapping[str, Any]) -> Output:
        return {"Tags": {**self._find_pool(_LIST_TAGS, given).tags}}

    def _get_principal_tags(self, given: Mapping[str, Any]) -> Output:
        pool = self._find_pool(_GET_PRINCIPAL_TAGS, given)
        return principal_tags_of(pool, given["IdentityProviderName"])

    def _find_pool(self, operation: ShapedOperation, given: Mapping[str, Any]) -> IdentityPool:
        identity_pool_id = requested_pool(given)
        deadline = self._admission.admit(operation, given, AuditedRequest(identity_pool_id))
        return self._pools.describe(require_pool_id(identity_pool_id), deadline)


def described(pool: IdentityPool) -> Mapping[str, object]:
    """Returns a pool in AWS's format."""
    return {"IdentityPoolId": pool.identity_pool_id, **pool.settings, "IdentityPoolTags": {**pool.tags}}


def principal_tags_of(pool: IdentityPool, provider_name: str) -> Mapping[str, object]:
    """Returns a pool's map for an identity provider; a map that was never set is empty."""
    own = {"UseDefaults": False, "PrincipalTags": {}, **pool.principal_tags.get(provider_name, {})}
    return {"IdentityPoolId": pool.identity_pool_id, "IdentityProviderName": provider_name, **own}


def requested_pool(given: Mapping[str, Any]) -> str:
    """Returns the id of the pool in a request, which names it by its id or by its ARN; empty if it names none."""
    matched = _POOL_ARN.fullmatch(given.get("ResourceArn", ""))
    return given.get("IdentityPoolId") or (matched[2] if matched else "")


def require_pool_id(identity_pool_id: str) -> str:
    """Returns the id of a pool from a request whose members are valid.

    Raises:
        InvalidParameter: It is empty, as returned by `requested_pool`.
    """
    if not identity_pool_id:
        raise InvalidParameter("ResourceArn is not the ARN of an identity pool.")
    return identity_pool_id


def _next_token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _last_of(next_token: str, region: str) -> str:
    """Returns the id after which a page starts.

    Raises:
        InvalidParameter: The token was not issued for this Region.
    """
    try:
        last = base64.b64decode(next_token.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
    except (UnicodeError, binascii.Error):
        last = ""
    if not last.startswith(f"{region}:"):
        raise InvalidParameter("NextToken is not one that this operation returned.")
    return last
