"""The operations that show identity pools: DescribeIdentityPool, ListIdentityPools."""

import base64
import binascii
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tokend_server.access.audit.record import AuditedRequest, AuditedResult
from tokend_server.access.authorization import Policy
from tokend_server.aws_json.shaped import IDENTITY_ID, NEXT_TOKEN, Output, ShapedOperation
from tokend_server.aws_json.shapes import Integer
from tokend_server.clock import Clock, Deadline
from tokend_server.engine import IdentityPools
from tokend_server.errors import InvalidParameter
from tokend_server.model import CognitoOperation, IdentityPool
from tokend_server.rpc.admission import row_that_allows
from tokend_server.rpc.call import current_call

_DESCRIBE = ShapedOperation(
    CognitoOperation.DESCRIBE_IDENTITY_POOL, {"IdentityPoolId": IDENTITY_ID}, frozenset({"IdentityPoolId"})
)
_LIST = ShapedOperation(
    CognitoOperation.LIST_IDENTITY_POOLS,
    {"MaxResults": Integer(1, 60), "NextToken": NEXT_TOKEN},
    frozenset({"MaxResults"}),
)

#: The rows of these operations.
POOL_OPERATIONS: Mapping[str, ShapedOperation] = MappingProxyType({row.name: row for row in (_DESCRIBE, _LIST)})


class PoolOperations:
    """Performs them for the current call.

    Args:
        pools: The pools.
        policy: Who may do what. What is about no one pool needs a row for all pools, as IAM demands it at AWS.
        clock: What deadlines are measured with.
    """

    def __init__(self, pools: IdentityPools, policy: Policy, clock: Clock) -> None:
        self._pools = pools
        self._policy = policy
        self._clock = clock
        self.by_name: Mapping[str, Callable[[Mapping[str, Any]], Output]] = {
            _DESCRIBE.name: self._describe,
            _LIST.name: self._list,
        }

    def _describe(self, given: Mapping[str, Any]) -> Output:
        pool_id = given.get("IdentityPoolId", "")
        return described(self._pools.describe(pool_id, self._admitted(_DESCRIBE, given, pool_id)))

    def _list(self, given: Mapping[str, Any]) -> Output:
        deadline = self._admitted(_LIST, given)
        region, most = current_call().region, given["MaxResults"]
        after = _last_of(given["NextToken"], region) if "NextToken" in given else ""
        found = self._pools.list(region, most + 1, after, deadline)
        page = [{"IdentityPoolId": each.identity_pool_id, "IdentityPoolName": each.name} for each in found[:most]]
        output = {"IdentityPools": page}
        return output | {"NextToken": _next_token(page[-1]["IdentityPoolId"])} if len(found) > most else output

    def _admitted(self, operation: ShapedOperation, given: Mapping[str, Any], identity_pool_id: str = "") -> Deadline:
        """Until when a call has time that policy and limits let through.

        Raises:
            DeadlineExceeded: Its caller waits no more.
            CallerNotAllowed: The policy does not let it through.
            ValidationFailed: Members break their limits.
        """
        call = current_call()
        call.audited = AuditedRequest(identity_pool_id), AuditedResult()
        deadline = Deadline(self._clock, call.presented.waits_until)
        deadline.check()
        row_that_allows(self._policy, call, identity_pool_id)
        operation.check(given)
        return deadline


def described(pool: IdentityPool) -> Mapping[str, object]:
    """A pool as AWS describes it."""
    return {"IdentityPoolId": pool.identity_pool_id, **pool.settings, "IdentityPoolTags": {**pool.tags}}


def _next_token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _last_of(next_token: str, region: str) -> str:
    """The id behind which a page begins.

    Raises:
        InvalidParameter: The token is none of this Region.
    """
    try:
        last = base64.b64decode(next_token.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
    except (UnicodeError, binascii.Error):
        last = ""
    if not last.startswith(f"{region}:"):
        raise InvalidParameter("NextToken is not one that this operation returned.")
    return last
