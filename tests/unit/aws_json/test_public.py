"""GetId, GetOpenIdToken and UnlinkIdentity, unsigned: authorization, limits and audit entries."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.local_engine import DEVELOPER, ISSUER, OTHER_POOL, POOL, LocalEngineUnderTest

from tokend_server.access.authorization import Policy, PolicyRow
from tokend_server.access.rate_limits import CallerLimits, Rate, RateLimits
from tokend_server.aws_json.admission import Admission
from tokend_server.aws_json.calls import Calls
from tokend_server.aws_json.public import PublicOperations
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.service import AwsJsonService
from tokend_server.aws_json.signers import identifying_signers
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.callers.names import name_by_address
from tokend_server.engines.identities import IdentitiesOfPools
from tokend_server.engines.local.identities import LocalIdentities
from tokend_server.engines.local.own_tokens import OwnTokens
from tokend_server.engines.local.public_identities import PublicIdentities
from tokend_server.engines.public import PublicEngines
from tokend_server.rpc.audit_entry import audit_entry
from tokend_server.rpc.call import current_call
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.interceptors.layers import Behavior, Method
from tokend_server.rpc.interceptors.rate_limits import limiting_rates

if TYPE_CHECKING:
    from tokend_server.access.audit.record import AuditEntry

COGNITO_POOL = "eu-west-1:77777777-2222-3333-4444-555555555555"
DEVICE = "192.0.2.1"
CANARY = "canary-5e1c4b"
GUESTS_OFF = "Unauthenticated access is not supported for this identity pool."


def row(caller: str, *operations: str, pool: str = "*") -> PolicyRow:
    named = frozenset(operations or {"*"})
    return PolicyRow(caller, (caller,), frozenset({pool}), named, timedelta(minutes=15), frozenset())


class Api:
    """Cognito's API for devices, with a local engine.

    Attributes:
        local: The local engine.
        audited: The audit entry of each call.
    """

    def __init__(self, local: LocalEngineUnderTest, *rows: PolicyRow) -> None:
        self.local = local
        self.audited: list[AuditEntry] = []
        clock = local.clock
        policy = Policy([*rows, row("aws:*")], [POOL, OTHER_POOL, COGNITO_POOL])
        rates = CallerLimits(Rate(1, 3), Rate(1, 2), 10)
        limits = RateLimits(rates, (), lambda _limit: None, clock)
        pool = replace(local.pool, allow_unauthenticated_identities=True, allow_classic_flow=True)
        guids = iter(f"{number:08x}" for number in range(100))
        own_tokens = OwnTokens(local.signer.key_set, ISSUER, clock)
        engine = PublicIdentities(
            pool, local.store, local.signer, own_tokens, clock, lambda: next(guids), limits.new_identity
        )
        identities = IdentitiesOfPools(LocalIdentities(local.store, {POOL}), {COGNITO_POOL})
        engines = PublicEngines({POOL: engine}, {COGNITO_POOL})
        service = AwsJsonService(
            DeveloperIdentityService({}, policy, clock),
            [self._auditing, identifying_signers(SignatureVerifier({}, clock), str), limiting_rates(limits)],
            others=PublicOperations(identities, engines.of, Admission(policy, clock)).operations,
        )
        self._calls = Calls(service, clock)

    def _auditing(self, _method: Method, behavior: Behavior) -> Behavior:
        def audited(request: AwsRequest, context: None) -> object:
            try:
                return behavior(request, context)
            finally:
                self.audited.append(audit_entry(current_call(), 0))

        return audited

    def call(self, operation: str, peer: str = DEVICE, /, **members: object) -> dict[str, Any]:
        """Returns the output, or the code and text of the error."""
        values = {
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": f"AWSCognitoIdentityService.{operation}",
        }
        request = AwsRequest("POST", "/", values, json.dumps(members).encode(), peer)
        body = self._calls.answer(request).body
        answered: dict[str, Any] = json.loads(body) if body else {}
        return answered

    def after_a_pause(self) -> "Api":
        self.local.clock.advance(60)
        return self


@pytest.fixture
def api(local: LocalEngineUnderTest) -> Api:
    return Api(local, row("unsigned:**"))


def refused(text: str, code: str = "NotAuthorizedException") -> dict[str, str]:
    return {"__type": code, "message": text}


def test_a_device_registers_gets_tokens_and_unlinks(api: Api) -> None:
    logins = {"accounts.google.com": "user g1"}
    user = api.call("GetId", IdentityPoolId=POOL, Logins=logins, AccountId="123456789012")["IdentityId"]
    issued = api.call("GetOpenIdToken", IdentityId=user, Logins=logins)
    assert issued.keys() == {"IdentityId", "Token"}
    assert issued["IdentityId"] == user
    removed = api.call("UnlinkIdentity", IdentityId=user, Logins=logins, LoginsToRemove=list(logins))
    assert removed == {}
    assert api.local.stored(user).disabled


def test_the_audit_log_has_names_and_no_secret(api: Api) -> None:
    logins = {"accounts.google.com": f"user {CANARY}"}
    user = api.call("GetId", IdentityPoolId=POOL, Logins=logins)["IdentityId"]
    api.call("GetOpenIdToken", IdentityId=user, Logins=logins)
    created, issued = api.audited
    for entry in (created, issued):
        assert (entry.caller, entry.authenticator) == (f"unsigned:{DEVICE}", "")
        assert (entry.policy, entry.request.identity_pool_id) == ("unsigned:**", POOL)
        assert entry.request.provider_names == ("accounts.google.com",)
        assert entry.result.identity_id == user
    assert (created.result.outcome, issued.result.outcome) == ("created", "retrieved")
    assert issued.result.key_id
    assert issued.result.expire_time == int(api.local.clock.now()) + 600
    assert CANARY not in repr(api.audited)


@pytest.mark.parametrize("granted", ["aws:*", "anonymous", "key:*"])
def test_devices_are_denied_without_a_policy_row_for_them(local: LocalEngineUnderTest, granted: str) -> None:
    api = Api(local, row(granted))
    user = local.identity_of({DEVELOPER: "alice", "accounts.google.com": "user g1"})
    logins = {"accounts.google.com": "user g1"}
    assert api.call("GetId", IdentityPoolId=POOL) == refused(GUESTS_OFF)
    forbidden = refused(f"Access to Identity '{user}' is forbidden.")
    assert api.call("GetOpenIdToken", IdentityId=user, Logins=logins) == forbidden
    api.after_a_pause()
    assert api.call("UnlinkIdentity", IdentityId=user, Logins=logins, LoginsToRemove=[]) == forbidden
    assert local.stored(user).logins
    assert [entry.policy for entry in api.audited] == [None] * 3


def test_a_row_may_grant_one_operation_in_one_pool(local: LocalEngineUnderTest) -> None:
    api = Api(local, row("unsigned:**", "GetOpenIdToken", pool=OTHER_POOL), row("unsigned:**", "GetId", pool=POOL))
    user = api.call("GetId", IdentityPoolId=POOL)["IdentityId"]
    assert api.call("GetId", IdentityPoolId=OTHER_POOL) == refused(GUESTS_OFF)
    # An identity of a pool that is not for devices looks like a missing one.
    assert api.call("GetOpenIdToken", IdentityId=user) == refused(
        f"Identity '{user}' not found.", "ResourceNotFoundException"
    )


def test_calls_are_limited_per_address(api: Api) -> None:
    answers = [api.call("GetId", IdentityPoolId=OTHER_POOL)["__type"] for _ in range(4)]
    assert answers == ["ResourceNotFoundException"] * 3 + ["TooManyRequestsException"]
    assert api.call("GetId", "192.0.2.2", IdentityPoolId=OTHER_POOL)["__type"] == "ResourceNotFoundException"


def test_new_guest_identities_are_limited_per_address(api: Api) -> None:
    answers = [api.call("GetId", IdentityPoolId=POOL) for _ in range(3)]
    assert [sorted(answer) for answer in answers] == [["IdentityId"]] * 2 + [["__type", "message"]]
    assert answers[2] == refused("Rate exceeded", "TooManyRequestsException")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.1", "unsigned:192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "unsigned:2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "unsigned:2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "unsigned:192.0.2.1"),
        ("::1", "unsigned:::/64"),
    ],
)
def test_ipv6_callers_are_named_by_their_64_bit_prefix(address: str, name: str) -> None:
    assert name_by_address(address) == name


def test_devices_cannot_use_pools_without_a_local_engine(api: Api) -> None:
    missing = f"IdentityPool '{OTHER_POOL}' not found."
    assert api.call("GetId", IdentityPoolId=OTHER_POOL) == refused(missing, "ResourceNotFoundException")
    assert api.call("GetId", IdentityPoolId=COGNITO_POOL)["__type"] == "UnknownOperationException"


def test_member_limits_are_those_of_aws_and_errors_show_no_token(api: Api) -> None:
    given = {"IdentityPoolId": POOL, "AccountId": "x", "Logins": {"accounts.google.com": CANARY * 5000}}
    answered = api.call("GetId", **given)
    assert answered == refused(
        "2 validation errors detected: "
        r"Value 'x' at 'accountId' failed to satisfy constraint: Member must satisfy regular expression pattern: \d+; "
        "Value at 'logins' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length "
        "less than or equal to 50000, Member must have length greater than or equal to 1]",
        "ValidationException",
    )
    missing = api.call("UnlinkIdentity")["message"]
    assert [name for name in ("identityId", "logins", "loginsToRemove") if f"Value null at '{name}'" in missing] == [
        "identityId",
        "logins",
        "loginsToRemove",
    ]
