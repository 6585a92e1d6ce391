"""Cognito's own API, and STS, without a listener and without signatures: their operations, for one caller."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tokend_server.access.authorization import Policy, PolicyRow
from tokend_server.aws_json.admission import Admission
from tokend_server.aws_json.assume_role import ASSUME_ROLE, RoleAssumption
from tokend_server.aws_json.build import other_operations
from tokend_server.aws_json.calls import Calls
from tokend_server.aws_json.query import is_query
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.service import SERVICE_NAME, AwsJsonService
from tokend_server.aws_json.static_credentials import StaticCredentials
from tokend_server.aws_json.sts import StsService
from tokend_server.aws_json.wire import CONTENT_TYPE, AwsResponse
from tokend_server.clock import Clock
from tokend_server.engines.build import Engines
from tokend_server.rpc.call import current_call
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.interceptors.layers import Behavior, Method

REGION = "eu-west-1"

_ANYBODY = PolicyRow("anybody", ("**",), frozenset({"*"}), frozenset({"*"}), timedelta(minutes=15), frozenset({"*"}))


class AwsService:
    """The operations of real engines.

    Args:
        engines: The engines; pools can be created.
        issuer: The `iss` of their tokens.
        clock: The clock.

    Attributes:
        pool: A pool that a caller has created.
    """

    def __init__(self, engines: Engines, issuer: str, clock: Clock) -> None:
        assert engines.local_keys
        policy = Policy([_ANYBODY], ())
        admission = Admission(policy, clock)
        operations = DeveloperIdentityService(engines.by_pool, policy, clock, find=engines.find)
        others = other_operations(engines, StaticCredentials(clock), admission, lambda _pool_id: None)
        assumption = RoleAssumption(engines.local_keys.key_set, issuer, engines.pools, admission, clock)
        self._cognito = Calls(AwsJsonService(operations, [_naming], others=others), clock)
        self._sts = Calls(StsService([(ASSUME_ROLE, assumption.assume_role)], [_naming]), clock)
        made = {"IdentityPoolName": "made", "AllowUnauthenticatedIdentities": True, "DeveloperProviderName": "login.x"}
        self.pool = str(self._done("CreateIdentityPool", made)["IdentityPoolId"])
        self.guest = str(self._done("GetId", {"IdentityPoolId": self.pool})["IdentityId"])

    def call(self, operation: str, body: bytes) -> AwsResponse:
        """Calls a Cognito operation."""
        values = {"content-type": CONTENT_TYPE, "x-amz-target": f"{SERVICE_NAME}.{operation}"}
        return self._cognito.answer(AwsRequest("POST", "/", values, body, "192.0.2.1"))

    def query(self, target: str, method: str, values: Mapping[str, str], body: bytes) -> AwsResponse:
        """Sends a request that may be for STS."""
        request = AwsRequest(method, target, values, body, "192.0.2.1")
        return (self._sts if is_query(request) else self._cognito).answer(request)

    def _done(self, operation: str, members: object) -> dict[str, Any]:
        answered: dict[str, Any] = json.loads(self.call(operation, json.dumps(members).encode()).body)
        return answered


def _naming(_method: Method, behavior: Behavior) -> Behavior:
    def named(request: AwsRequest, context: None) -> object:
        current_call().caller, current_call().region = "aws:fuzz", REGION
        return behavior(request, context)

    return named
