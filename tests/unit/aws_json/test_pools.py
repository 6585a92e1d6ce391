"""The operations on identity pools, from a signed request to the response."""

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.fakes.clock import FakeClock
from tests.support.grpc_service import POOL_ID
from tests.unit.aws_json.requests import KEY_ID, SECRET_KEY, Signed, as_sent, call, error_of

from tokend_server.access.authorization import Policy, PolicyRow
from tokend_server.aws_json.admission import Admission
from tokend_server.aws_json.calls import Calls
from tokend_server.aws_json.pools import PoolOperations
from tokend_server.aws_json.service import AwsJsonService
from tokend_server.aws_json.signers import identifying_signers
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.aws_json.wire import AwsResponse
from tokend_server.config import Pool
from tokend_server.config.pools import OpenIdConnectProvider
from tokend_server.engines.configured_pools import ConfiguredPools
from tokend_server.model import ANONYMOUS, Secret
from tokend_server.rpc.developer_identity import DeveloperIdentityService

REGION = POOL_ID.partition(":")[0]
OTHER_REGION = "ap-south-2"

#: Five pools of one Region, and one of another.
IDS = [f"{REGION}:{number}a1b2c3d" for number in range(5)]
ELSEWHERE = f"{OTHER_REGION}:0a1b2c3d"


def configured(**members: Any) -> Pool:  # noqa: ANN401 - what a pool takes
    return Pool(developer_provider_name="login.example.test", **members)


POOLS = ConfiguredPools({each: configured(name=f"Pool {each[-8]}") for each in [*reversed(IDS), ELSEWHERE]})

#: The names of the operations on pools.
POOL_OPERATIONS = [each.name for each, _ in PoolOperations(POOLS, Admission(Policy((), ()), FakeClock())).operations]


def row(**changes: Any) -> PolicyRow:  # noqa: ANN401 - what a row has
    everything = {"callers": ("**",), "pools": frozenset("*"), "operations": frozenset("*")}
    return PolicyRow(
        **{"name": "row", **everything, **changes},
        max_token_duration=timedelta(minutes=15),
        principal_tag_keys=frozenset(),
    )


def answer(request: Signed, pools: ConfiguredPools = POOLS, policy: Policy | None = None) -> AwsResponse:
    clock = FakeClock(now=request.signed_at)
    policy = policy or Policy((), ())
    verifier = SignatureVerifier({KEY_ID: Secret(SECRET_KEY)}, clock)
    service = AwsJsonService(
        DeveloperIdentityService({}, policy, clock),
        [identifying_signers(verifier, lambda _access_key_id: ANONYMOUS)],
        others=PoolOperations(pools, Admission(policy, clock)).operations,
        account_of=lambda pool: "111122223333" if pool == IDS[1] else "",
    )
    return Calls(service, clock).answer(as_sent(request))


def output(request: Signed, pools: ConfiguredPools = POOLS) -> dict[str, Any]:
    response = answer(request, pools)
    assert response.status == 200, response
    document: dict[str, Any] = json.loads(response.body)
    return document


def listed(**members: object) -> dict[str, Any]:
    return output(call("ListIdentityPools", members))


def test_a_pool_is_described_as_it_is_configured() -> None:
    assert output(call("DescribeIdentityPool", {"IdentityPoolId": IDS[3]})) == {
        "IdentityPoolId": IDS[3],
        "IdentityPoolName": "Pool 3",
        "AllowUnauthenticatedIdentities": False,
        "AllowClassicFlow": False,
        "DeveloperProviderName": "login.example.test",
        "IdentityPoolTags": {},
    }


def test_login_providers_are_described_in_cognitos_three_forms() -> None:
    user_pool = "cognito-idp.us-east-1.amazonaws.com/us-east-1_abc"
    clients = {
        "accounts.google.com": ["g.apps"],
        "appleid.apple.com": ["first", "second"],
        "login.other.test": ["app"],
        user_pool: ["c1", "c2"],
    }
    providers = {name: OpenIdConnectProvider(client_ids=ids) for name, ids in clients.items()}
    pool = configured(open_id_connect_providers=providers, account_id="111122223333")
    described = output(call("DescribeIdentityPool", {"IdentityPoolId": IDS[0]}), ConfiguredPools({IDS[0]: pool}))
    assert described["IdentityPoolName"] == "login.example.test"
    assert described["SupportedLoginProviders"] == {"accounts.google.com": "g.apps"}
    assert described["OpenIdConnectProviderARNs"] == [
        "arn:aws:iam::111122223333:oidc-provider/appleid.apple.com",
        "arn:aws:iam::111122223333:oidc-provider/login.other.test",
    ]
    assert described["CognitoIdentityProviders"] == [
        {"ProviderName": user_pool, "ClientId": client, "ServerSideTokenCheck": False} for client in ("c1", "c2")
    ]


def test_an_unknown_pool_is_not_found() -> None:
    text = f"IdentityPool '{REGION}:0' not found."
    request = call("DescribeIdentityPool", {"IdentityPoolId": f"{REGION}:0"})
    assert error_of(answer(request)) == (400, "ResourceNotFoundException", text)


def test_pools_of_the_region_are_listed_by_pages_in_one_order() -> None:
    ids: list[str] = []
    token: dict[str, str] = {}
    for most in (2, 2, 1):
        page = listed(MaxResults=most, **token)
        assert len(page["IdentityPools"]) == most
        ids += [each["IdentityPoolId"] for each in page["IdentityPools"]]
        token = {"NextToken": page["NextToken"]} if "NextToken" in page else {}
    assert (ids, token) == (IDS, {})
    assert page["IdentityPools"] == [{"IdentityPoolId": IDS[4], "IdentityPoolName": "Pool 4"}]
    assert listed(MaxResults=60)["IdentityPools"][0]["IdentityPoolId"] == IDS[0]


def test_a_full_page_that_is_the_last_has_no_next_token() -> None:
    assert "NextToken" not in listed(MaxResults=5)
    assert "NextToken" in listed(MaxResults=4)


@pytest.mark.parametrize("token", ["x", "ü", "bm90aGluZw==", "e.f", "////"])
def test_an_unknown_next_token_is_refused(token: str) -> None:
    request = call("ListIdentityPools", {"MaxResults": 1, "NextToken": token})
    text = "NextToken is not one that this operation returned."
    assert error_of(answer(request)) == (400, "InvalidParameterException", text)


@pytest.mark.parametrize(("most", "bound"), [(0, "greater than or equal to 1"), (61, "less than or equal to 60")])
def test_max_results_outside_its_limits_is_rejected(most: int, bound: str) -> None:
    constraint = f"Value '{most}' at 'maxResults' failed to satisfy constraint: Member must have value {bound}"
    message = f"1 validation error detected: {constraint}"
    request = call("ListIdentityPools", {"MaxResults": most})
    assert error_of(answer(request)) == (400, "ValidationException", message)


def denied(operation: str, resource: str) -> tuple[int, str, str]:
    why = "The policy does not allow the caller this operation on this identity pool."
    text = f"User: {ANONYMOUS} is not authorized to perform: cognito-identity:{operation} on resource: {resource}"
    return 400, "AccessDeniedException", f"{text} because: {why}"


def test_a_policy_for_one_pool_allows_describing_it_but_not_listing() -> None:
    policy = Policy([row(pools=frozenset({IDS[0]}))], IDS)
    assert answer(call("DescribeIdentityPool", {"IdentityPoolId": IDS[0]}), policy=policy).status == 200
    other = answer(call("DescribeIdentityPool", {"IdentityPoolId": IDS[1]}), policy=policy)
    arn = f"arn:aws:cognito-identity:{REGION}:111122223333:identitypool/{IDS[1]}"
    assert error_of(other) == denied("DescribeIdentityPool", arn)
    assert error_of(answer(call("ListIdentityPools", {"MaxResults": 1}), policy=policy)) == denied(
        "ListIdentityPools", "*"
    )


@pytest.mark.parametrize("operation", POOL_OPERATIONS)
def test_a_policy_allows_operations_by_name(operation: str) -> None:
    resource = f"arn:aws:cognito-identity:{REGION}:1:identitypool/{IDS[0]}"
    members = {"IdentityPoolId": IDS[0], "MaxResults": 1, "ResourceArn": resource, "IdentityProviderName": "p"}
    request = call(operation, members)
    others = frozenset(POOL_OPERATIONS) - {operation}
    assert answer(request, policy=Policy([row(operations=frozenset({operation}))], IDS)).status == 200
    assert error_of(answer(request, policy=Policy([row(operations=others)], IDS)))[1] == "AccessDeniedException"


def test_the_policy_is_checked_before_limits() -> None:
    policy = Policy([row(operations=frozenset())], ())
    for operation in POOL_OPERATIONS:
        assert error_of(answer(call(operation, {}), policy=policy))[1] == "AccessDeniedException"
        assert error_of(answer(call(operation, {})))[1] == "ValidationException"
