"""The operations that create, change and delete pools, from a signed request to the store."""

import itertools
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.clock import FakeClock
from tests.unit.aws_json.requests import KEY_ID, SECRET_KEY, as_sent, call, error_of

from tokend_server.access.authorization import Policy, PolicyRow
from tokend_server.aws_json.admission import Admission
from tokend_server.aws_json.calls import Calls
from tokend_server.aws_json.pool_management import ManagementOperations
from tokend_server.aws_json.pools import PoolOperations
from tokend_server.aws_json.service import AwsJsonService
from tokend_server.aws_json.signers import identifying_signers
from tokend_server.aws_json.sigv4 import SignatureVerifier
from tokend_server.aws_json.wire import AwsResponse
from tokend_server.config import Pool
from tokend_server.engines.configured_pools import ConfiguredPools
from tokend_server.engines.local.managed_pools import ManagedPools
from tokend_server.engines.local.stores.sqlite.store import open_store
from tokend_server.engines.pools import AllPools
from tokend_server.model import ANONYMOUS, Secret
from tokend_server.rpc.developer_identity import DeveloperIdentityService

REGION = "us-east-1"
FIRST = f"{REGION}:00000001"
CONFIGURED = f"{REGION}:0a1b2c3d"
ROLE = "arn:aws:iam::111122223333:role/shop"
SHOP = {"IdentityPoolName": "Shop 1 (a)".replace("(a)", "@a"), "AllowUnauthenticatedIdentities": False}
WHOLE = {
    **SHOP,
    "AllowClassicFlow": True,
    "SupportedLoginProviders": {"graph.facebook.com": "7346241598935552"},
    "DeveloperProviderName": "login.shop",
    "OpenIdConnectProviderARNs": ["arn:aws:iam::111122223333:oidc-provider/idp.example.test"],
    "CognitoIdentityProviders": [
        {
            "ProviderName": "cognito-idp.us-east-1.amazonaws.com/us-east-1_abc",
            "ClientId": "3n4b5urk1ft4fl3mg5e62d9ado",
            "ServerSideTokenCheck": True,
        }
    ],
    "SamlProviderARNs": ["arn:aws:iam::111122223333:saml-provider/corp"],
}
TAGS = {"team": "shop", "empty": ""}


def arn(pool: str, account: str = "000000000000") -> str:
    return f"arn:aws:cognito-identity:{REGION}:{account}:identitypool/{pool}"


class Api:
    """Cognito's API with the pools of a store.

    Attributes:
        changed: The pools that were changed, in order.
        policy: The policy.
    """

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.store = open_store(directory / "tokend.db")
        self.store.migrate()
        numbers = itertools.count(1)
        managed = ManagedPools(self.store, self.clock, lambda: f"{next(numbers):08x}", lambda _pool: None)  # type: ignore[arg-type, return-value]
        configured = ConfiguredPools({CONFIGURED: Pool(developer_provider_name="login.own")})
        self._pools = AllPools(configured, managed)
        self.changed: list[str] = []
        self.policy = Policy((), ())

    def answer(self, operation: str, document: object, region: str | None = None) -> AwsResponse:
        request = call(operation, document, region=region)
        self.clock.move_wall_clock(request.signed_at - self.clock.now())
        admission = Admission(self.policy, self.clock)
        others = [
            *PoolOperations(self._pools, admission).operations,
            *ManagementOperations(self._pools, admission, self.changed.append).operations,
        ]
        verifier = SignatureVerifier({KEY_ID: Secret(SECRET_KEY)}, self.clock)
        service = AwsJsonService(
            DeveloperIdentityService({}, self.policy, self.clock),
            [identifying_signers(verifier, lambda _access_key_id: ANONYMOUS)],
            others=others,
        )
        return Calls(service, self.clock).answer(as_sent(request))

    def does(self, operation: str, **members: object) -> Any:  # noqa: ANN401 - whatever the operation answers
        response = self.answer(operation, members)
        assert response.status == 200, response
        return json.loads(response.body) if response.body else None

    def refuses(self, operation: str, **members: object) -> tuple[str, str]:
        status, code, text = error_of(self.answer(operation, members))
        assert status == 400
        return code, text


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    made = Api(tmp_path)
    with closing(made.store):
        yield made


def test_a_pool_is_created_and_described_as_requested(api: Api) -> None:
    made = api.does("CreateIdentityPool", **WHOLE, IdentityPoolTags=TAGS)
    assert made == {"IdentityPoolId": FIRST, **WHOLE, "IdentityPoolTags": TAGS}
    assert api.does("DescribeIdentityPool", IdentityPoolId=FIRST) == made
    listed = api.does("ListIdentityPools", MaxResults=60)["IdentityPools"]
    assert listed == [
        {"IdentityPoolId": FIRST, "IdentityPoolName": SHOP["IdentityPoolName"]},
        {"IdentityPoolId": CONFIGURED, "IdentityPoolName": "login.own"},
    ]


def test_members_that_are_empty_are_left_out(api: Api) -> None:
    empty: dict[str, object] = {"SupportedLoginProviders": {}, "SamlProviderARNs": [], "CognitoIdentityProviders": []}
    made = api.does("CreateIdentityPool", **SHOP, **empty)
    assert made == {"IdentityPoolId": FIRST, **SHOP, "IdentityPoolTags": {}}


def test_an_update_falls_back_to_defaults_but_for_developer_provider_and_tags(api: Api) -> None:
    api.does("CreateIdentityPool", **WHOLE, IdentityPoolTags=TAGS)
    updated = api.does("UpdateIdentityPool", IdentityPoolId=FIRST, **{**SHOP, "AllowUnauthenticatedIdentities": True})
    assert updated == {
        "IdentityPoolId": FIRST,
        **SHOP,
        "AllowUnauthenticatedIdentities": True,
        "DeveloperProviderName": "login.shop",
        "IdentityPoolTags": TAGS,
    }
    assert api.does("DescribeIdentityPool", IdentityPoolId=FIRST) == updated
    assert api.does("UpdateIdentityPool", IdentityPoolId=FIRST, **SHOP, IdentityPoolTags={})["IdentityPoolTags"] == {}


def test_a_developer_provider_is_set_once(api: Api) -> None:
    api.does("CreateIdentityPool", **SHOP)
    named = {"IdentityPoolId": FIRST, **SHOP, "DeveloperProviderName": "login.shop"}
    for _ in range(2):
        assert api.does("UpdateIdentityPool", **named)["DeveloperProviderName"] == "login.shop"
    refused = api.refuses("UpdateIdentityPool", **{**named, "DeveloperProviderName": "login.other"})
    text = "The developer provider name of an identity pool cannot be changed once it is set."
    assert refused == ("InvalidParameterException", text)


def test_a_pool_that_was_deleted_is_not_found(api: Api) -> None:
    api.does("CreateIdentityPool", **SHOP)
    assert api.does("DeleteIdentityPool", IdentityPoolId=FIRST) is None
    not_found = ("ResourceNotFoundException", f"IdentityPool '{FIRST}' not found.")
    operations: dict[str, dict[str, Any]] = {
        "DescribeIdentityPool": {},
        "DeleteIdentityPool": {},
        "UpdateIdentityPool": SHOP,
        "GetIdentityPoolRoles": {},
        "SetIdentityPoolRoles": {"Roles": {}},
        "GetPrincipalTagAttributeMap": {"IdentityProviderName": "p"},
        "SetPrincipalTagAttributeMap": {"IdentityProviderName": "p"},
    }
    for operation, members in operations.items():
        assert api.refuses(operation, IdentityPoolId=FIRST, **members) == not_found, operation
    for operation in ("ListTagsForResource", "TagResource", "UntagResource"):
        assert api.refuses(operation, ResourceArn=arn(FIRST), Tags={}, TagKeys=[]) == not_found
    assert api.changed.count(FIRST) == 7


def test_a_configured_pool_cannot_be_changed(api: Api) -> None:
    text = f"IdentityPool '{CONFIGURED}' is declared in the configuration of this service."
    operations: dict[str, dict[str, Any]] = {
        "DeleteIdentityPool": {},
        "UpdateIdentityPool": SHOP,
        "SetIdentityPoolRoles": {"Roles": {}},
        "SetPrincipalTagAttributeMap": {"IdentityProviderName": "p"},
    }
    for operation, members in operations.items():
        assert api.refuses(operation, IdentityPoolId=CONFIGURED, **members) == ("NotAuthorizedException", text)
    for operation in ("TagResource", "UntagResource"):
        members = {"ResourceArn": arn(CONFIGURED), "Tags": {}, "TagKeys": []}
        assert api.refuses(operation, **members) == ("NotAuthorizedException", text)
    assert api.does("GetIdentityPoolRoles", IdentityPoolId=CONFIGURED) == {"IdentityPoolId": CONFIGURED}
    assert api.does("ListTagsForResource", ResourceArn=arn(CONFIGURED)) == {"Tags": {}}


MAPPINGS = {
    "graph.facebook.com": {"Type": "Token", "AmbiguousRoleResolution": "Deny"},
    "cognito-idp.us-east-1.amazonaws.com/us-east-1_abc:client": {
        "Type": "Rules",
        "AmbiguousRoleResolution": "AuthenticatedRole",
        "RulesConfiguration": {
            "Rules": [{"Claim": "isAdmin", "MatchType": "Equals", "Value": "ja ü", "RoleARN": ROLE}]
        },
    },
}


def test_roles_are_kept_and_replaced_whole(api: Api) -> None:
    api.does("CreateIdentityPool", **SHOP)
    assert api.does("GetIdentityPoolRoles", IdentityPoolId=FIRST) == {"IdentityPoolId": FIRST}
    roles = {"authenticated": ROLE, "unauthenticated": ROLE}
    assert api.does("SetIdentityPoolRoles", IdentityPoolId=FIRST, Roles=roles, RoleMappings=MAPPINGS) is None
    kept = api.does("GetIdentityPoolRoles", IdentityPoolId=FIRST)
    assert kept == {"IdentityPoolId": FIRST, "Roles": roles, "RoleMappings": MAPPINGS}
    api.does("SetIdentityPoolRoles", IdentityPoolId=FIRST, Roles={"authenticated": ROLE})
    kept = api.does("GetIdentityPoolRoles", IdentityPoolId=FIRST)
    assert kept == {"IdentityPoolId": FIRST, "Roles": {"authenticated": ROLE}}
    api.does("UpdateIdentityPool", IdentityPoolId=FIRST, **SHOP)
    assert api.does("GetIdentityPoolRoles", IdentityPoolId=FIRST) == kept


def test_a_role_mapping_requires_an_ambiguous_role_resolution(api: Api) -> None:
    api.does("CreateIdentityPool", **SHOP)
    mappings = {"a": {"Type": "Token"}, "b": {"Type": "Rules", "AmbiguousRoleResolution": "Deny"}, **MAPPINGS}
    text = (
        "AmbiguousRoleResolution is required in the role mapping of a, of type Token. "
        "RulesConfiguration is required in the role mapping of b, of type Rules."
    )
    refused = api.refuses("SetIdentityPoolRoles", IdentityPoolId=FIRST, Roles={}, RoleMappings=mappings)
    assert refused == ("InvalidParameterException", text)
    assert api.does("GetIdentityPoolRoles", IdentityPoolId=FIRST) == {"IdentityPoolId": FIRST}


def test_tags_are_added_and_taken_away(api: Api) -> None:
    api.does("CreateIdentityPool", **SHOP, IdentityPoolTags=TAGS)
    assert api.does("TagResource", ResourceArn=arn(FIRST), Tags={"team": "other", "new": "1"}) == {}
    tags = {"team": "other", "empty": "", "new": "1"}
    assert api.does("ListTagsForResource", ResourceArn=arn(FIRST, "")) == {"Tags": tags}
    assert api.does("UntagResource", ResourceArn=arn(FIRST, "999999999999"), TagKeys=["empty", "none"]) == {}
    assert api.does("DescribeIdentityPool", IdentityPoolId=FIRST)["IdentityPoolTags"] == {"team": "other", "new": "1"}


def test_the_number_and_the_keys_of_tags_are_limited(api: Api) -> None:
    api.does("CreateIdentityPool", **SHOP, IdentityPoolTags={str(number): "" for number in range(50)})
    text = "An identity pool may have at most 50 tags."
    one_more = api.refuses("TagResource", ResourceArn=arn(FIRST), Tags={"one more": ""})
    assert one_more == ("InvalidParameterException", text)
    assert api.does("TagResource", ResourceArn=arn(FIRST), Tags={"7": "changed"}) == {}
    many = api.refuses("CreateIdentityPool", **SHOP, IdentityPoolTags={str(number): "" for number in range(51)})
    assert many == ("InvalidParameterException", text)
    reserved = ("InvalidParameterException", "Keys of tags must not begin with aws:.")
    assert api.refuses("CreateIdentityPool", **SHOP, IdentityPoolTags={"AWS:x": ""}) == reserved
    assert api.refuses("UpdateIdentityPool", IdentityPoolId=FIRST, **SHOP, IdentityPoolTags={"aws:x": ""}) == reserved


@pytest.mark.parametrize(
    "resource", ["arn:aws:s3:::a-bucket-of-mine", f"arn:aws:cognito-identity:eu-west-1:1:identitypool/{FIRST}"]
)
def test_a_resource_arn_that_is_not_of_a_pool_is_rejected(resource: str, api: Api) -> None:
    refused = ("InvalidParameterException", "ResourceArn is not the ARN of an identity pool.")
    for operation in ("ListTagsForResource", "TagResource", "UntagResource"):
        assert api.refuses(operation, ResourceArn=resource, Tags={}, TagKeys=[]) == refused


@pytest.mark.parametrize("region", ["a" * 18, "us-isob-east-1", "local"])
def test_a_pool_is_made_in_the_region_of_the_signature(region: str, api: Api) -> None:
    made = json.loads(api.answer("CreateIdentityPool", SHOP, region).body)
    assert made["IdentityPoolId"] == f"{region}:00000001"
    assert api.does("DescribeIdentityPool", IdentityPoolId=made["IdentityPoolId"]) == made


@pytest.mark.parametrize("region", ["a" * 19, "us-east-1.aws", "us:east", "us east", "région"])
def test_a_pool_is_not_created_in_a_region_that_would_make_its_id_invalid(region: str, api: Api) -> None:
    text = f"Credential should be scoped to a valid region, not '{region}'."
    refused = error_of(api.answer("CreateIdentityPool", SHOP, region))
    assert refused == (400, "InvalidSignatureException", text)


def test_a_resource_of_another_region_is_refused(api: Api) -> None:
    resource = "arn:aws:cognito-identity:eu-west-1:1:identitypool/eu-west-1:0"
    code, _text = api.refuses("ListTagsForResource", ResourceArn=resource)
    assert code == "InvalidSignatureException"


def test_principal_tags_are_kept_for_each_provider(api: Api) -> None:
    api.does("CreateIdentityPool", **SHOP)
    pool = {"IdentityPoolId": FIRST}
    unset = api.does("GetPrincipalTagAttributeMap", **pool, IdentityProviderName="p")
    assert unset == {**pool, "IdentityProviderName": "p", "UseDefaults": False, "PrincipalTags": {}}
    own = {**pool, "IdentityProviderName": "p", "UseDefaults": False, "PrincipalTags": {"team": "custom:team"}}
    defaults = {**pool, "IdentityProviderName": "q", "UseDefaults": True}
    assert api.does("SetPrincipalTagAttributeMap", **own) == own
    assert api.does("SetPrincipalTagAttributeMap", **defaults) == {**defaults, "PrincipalTags": {}}
    for each in ({**defaults, "PrincipalTags": {}}, own):
        name = each["IdentityProviderName"]
        assert api.does("GetPrincipalTagAttributeMap", **pool, IdentityProviderName=name) == each


FAILED = "failed to satisfy constraint:"

#: Operation, members, and AWS's message.
TEXTS: list[tuple[str, dict[str, Any], str]] = [
    (
        "CreateIdentityPool",
        {**SHOP, "IdentityPoolName": "a/b"},
        (
            rf"Value 'a/b' at 'identityPoolName' {FAILED} "
            r"Member must satisfy regular expression pattern: [\w\s+=,.@-]+"
        ),
    ),
    (
        "CreateIdentityPool",
        {**SHOP, "CognitoIdentityProviders": [{}, {"ClientId": "a-b"}]},
        (
            rf"Value 'a-b' at 'cognitoIdentityProviders.2.member.clientId' {FAILED} "
            r"Member must satisfy regular expression pattern: [\w_]+"
        ),
    ),
    (
        "CreateIdentityPool",
        {**SHOP, "SamlProviderARNs": ["short"]},
        (
            f"Value '[short]' at 'samlProviderARNs' {FAILED} Member must satisfy constraint: "
            "[Member must have length less than or equal to 2048, Member must have length greater than or equal to 20]"
        ),
    ),
    (
        "SetIdentityPoolRoles",
        {"IdentityPoolId": FIRST, "Roles": {"admin": ROLE}},
        (
            f"Value '{{admin={ROLE}}}' at 'roles' {FAILED} Map keys must satisfy constraint: "
            "[Member must have length less than or equal to 128, Member must have length greater than or equal to 1, "
            "Member must satisfy regular expression pattern: (un)?authenticated]"
        ),
    ),
    (
        "SetIdentityPoolRoles",
        {"IdentityPoolId": FIRST, "Roles": {}, "RoleMappings": {"p": {"Type": "None"}}},
        f"Value 'None' at 'roleMappings.1.value.type' {FAILED} Member must satisfy enum value set: [Token, Rules]",
    ),
    (
        "SetIdentityPoolRoles",
        {"IdentityPoolId": FIRST, "Roles": {}, "RoleMappings": {"p": {}}},
        f"Value null at 'roleMappings.1.value.type' {FAILED} Member must not be null",
    ),
    (
        "SetIdentityPoolRoles",
        {
            "IdentityPoolId": FIRST,
            "Roles": {},
            "RoleMappings": {"p": {"Type": "Rules", "RulesConfiguration": {"Rules": []}}},
        },
        (
            f"Value at 'roleMappings.1.value.rulesConfiguration.rules' {FAILED} "
            "Member must have length greater than or equal to 1"
        ),
    ),
    (
        "SetIdentityPoolRoles",
        {
            "IdentityPoolId": FIRST,
            "Roles": {},
            "RoleMappings": {
                "p": {
                    "Type": "Rules",
                    "RulesConfiguration": {
                        "Rules": [{"Claim": "a b", "MatchType": "Equals", "Value": "v", "RoleARN": ROLE}]
                    },
                }
            },
        },
        (
            f"Value 'a b' at 'roleMappings.1.value.rulesConfiguration.rules.1.member.claim' {FAILED} "
            r"Member must satisfy regular expression pattern: [\p{L}\p{M}\p{S}\p{N}\p{P}]+"
        ),
    ),
    (
        "SetIdentityPoolRoles",
        {
            "IdentityPoolId": FIRST,
            "Roles": {},
            "RoleMappings": {str(number): {"Type": "Token"} for number in range(11)},
        },
        f"Value at 'roleMappings' {FAILED} Member must have length less than or equal to 10",
    ),
    (
        "UntagResource",
        {"ResourceArn": arn(FIRST), "TagKeys": [""]},
        (
            f"Value '[]' at 'tagKeys' {FAILED} Member must satisfy constraint: "
            "[Member must have length less than or equal to 128, Member must have length greater than or equal to 1]"
        ),
    ),
]


@pytest.mark.parametrize(("operation", "members", "text"), TEXTS)
def test_validation_errors_have_the_texts_of_aws(operation: str, members: dict[str, Any], text: str, api: Api) -> None:
    expected = ("ValidationException", f"1 validation error detected: {text}")
    assert api.refuses(operation, **members) == expected


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"AllowUnauthenticatedIdentities": "true"}, "STRING_VALUE can not be converted to a Boolean"),
        ({"CognitoIdentityProviders": {}}, "STRUCTURE_VALUE can not be converted to a List"),
        ({"CognitoIdentityProviders": ["a"]}, "STRING_VALUE can not be converted to a Map"),
        ({"IdentityPoolTags": []}, "LIST_VALUE can not be converted to a Map"),
    ],
)
def test_a_member_of_a_wrong_type_is_refused(members: dict[str, Any], text: str, api: Api) -> None:
    assert api.refuses("CreateIdentityPool", **{**SHOP, **members}) == ("SerializationException", text)
    assert api.store.kept_pools() == []


def row(pools: str, operation: str) -> PolicyRow:
    return PolicyRow("row", ("**",), frozenset({pools}), frozenset({operation}), timedelta(minutes=15), frozenset())


def test_creating_a_pool_requires_a_policy_row_for_all_pools(api: Api) -> None:
    api.policy = Policy([row(CONFIGURED, "CreateIdentityPool")], [CONFIGURED])
    code, text = api.refuses("CreateIdentityPool", **SHOP)
    assert code == "AccessDeniedException"
    assert f"User: {ANONYMOUS} is not authorized to perform: cognito-identity:CreateIdentityPool on resource: *" in text
    api.policy = Policy([row("*", "CreateIdentityPool")], [CONFIGURED])
    api.does("CreateIdentityPool", **SHOP)
    assert api.refuses("DeleteIdentityPool", IdentityPoolId=FIRST)[0] == "AccessDeniedException"
    assert [each.identity_pool_id for each in api.store.kept_pools()] == [FIRST]
