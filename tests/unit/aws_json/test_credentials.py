"""GetCredentialsForIdentity with a local engine, and fake credentials."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.local_engine import DEVELOPER, ISSUER, NOW, POOL, LocalEngineUnderTest

from tokend_server.access.authorization import Policy, PolicyRow
from tokend_server.aws_json.admission import Admission
from tokend_server.aws_json.calls import Calls
from tokend_server.aws_json.credentials import GET_CREDENTIALS, CredentialOperations
from tokend_server.aws_json.public import PublicOperations
from tokend_server.aws_json.request import AwsRequest
from tokend_server.aws_json.service import AwsJsonService
from tokend_server.aws_json.static_credentials import StaticCredentials
from tokend_server.clock import Deadline
from tokend_server.config import Pool
from tokend_server.engine import CredentialSource
from tokend_server.engines.configured_pools import ConfiguredPools
from tokend_server.engines.local.identities import LocalIdentities
from tokend_server.engines.local.own_tokens import OwnTokens
from tokend_server.engines.local.public_identities import PublicIdentities
from tokend_server.engines.public import PublicEngines
from tokend_server.errors import EngineUnavailable, InvalidIdentityPoolConfiguration
from tokend_server.model import TemporaryCredentials, WebIdentity
from tokend_server.rpc.audit_entry import audit_entry
from tokend_server.rpc.call import current_call
from tokend_server.rpc.developer_identity import DeveloperIdentityService
from tokend_server.rpc.interceptors.layers import Behavior, Method

if TYPE_CHECKING:
    from tokend_server.access.audit.record import AuditEntry

USERS, GUESTS, BLUE = (f"arn:aws:iam::123456789012:role/{name}" for name in ("users", "guests", "blue"))
OWN = "cognito-identity.amazonaws.com"
ROLES = {
    "authenticated": USERS,
    "unauthenticated": GUESTS,
    "rules": [{"claim": "aws:RequestTag/team", "match": "Equals", "value": "blue", "role_arn": BLUE}],
}
EVERYBODY = PolicyRow(
    "devices", ("unsigned:**",), frozenset({"*"}), frozenset({"*"}), timedelta(minutes=15), frozenset()
)


class RememberingSource:
    """A source of credentials that records requests, and fails as set by a test."""

    def __init__(self, source: CredentialSource) -> None:
        self._source = source
        self.asked: list[tuple[WebIdentity, str, str]] = []
        self.failure: Exception | None = None

    def credentials(
        self, web_identity: WebIdentity, role_arn: str, region: str, deadline: Deadline
    ) -> TemporaryCredentials:
        self.asked.append((web_identity, role_arn, region))
        if self.failure:
            raise self.failure
        return self._source.credentials(web_identity, role_arn, region, deadline)


class Api:
    """The credentials operations of Cognito's API for devices.

    Attributes:
        local: The local engine.
        source: The source of credentials.
        audited: The audit entry of each call.
    """

    def __init__(self, local: LocalEngineUnderTest, roles: Mapping[str, object] = ROLES) -> None:
        self.local = local
        self.source = RememberingSource(StaticCredentials(local.clock))
        self.audited: list[AuditEntry] = []
        policy = Policy([EVERYBODY], [POOL])
        pool = replace(local.pool, allow_unauthenticated_identities=True)
        own_tokens = OwnTokens(local.signer.key_set, ISSUER, local.clock)
        engine = PublicIdentities(
            pool,
            local.store,
            local.signer,
            own_tokens,
            local.clock,
            lambda: "1",
            lambda _caller: pytest.fail("created"),
        )
        engines = PublicEngines({POOL: engine}, ())
        public = PublicOperations(LocalIdentities(local.store, {POOL}), engines.of, Admission(policy, local.clock))
        pools = ConfiguredPools({POOL: Pool.model_validate({"developer_provider_name": DEVELOPER, "roles": roles})})
        operations = CredentialOperations(public, pools, self.source)
        service = AwsJsonService(
            DeveloperIdentityService({}, policy, local.clock),
            [self._naming],
            others=[(GET_CREDENTIALS, operations.get_credentials)],
        )
        self._calls = Calls(service, local.clock)

    def _naming(self, _method: Method, behavior: Behavior) -> Behavior:
        def named(request: AwsRequest, context: None) -> object:
            current_call().caller = "unsigned:192.0.2.1"
            try:
                return behavior(request, context)
            finally:
                self.audited.append(audit_entry(current_call(), NOW))

        return named

    def call(self, **members: object) -> dict[str, Any]:
        """Returns the output, or the code and text of the error."""
        target = "AWSCognitoIdentityService.GetCredentialsForIdentity"
        values = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}
        request = AwsRequest("POST", "/", values, json.dumps(members).encode())
        answered: dict[str, Any] = json.loads(self._calls.answer(request).body)
        return answered

    def own(self, user: str, **options: Any) -> tuple[str, dict[str, str]]:  # noqa: ANN401
        """Returns the identity of a developer user, and the login that its backend has received for it."""
        issued = self.local.issue(user, **options)
        return issued.identity_id, {OWN: issued.token.reveal()}


@pytest.fixture
def api(local: LocalEngineUnderTest) -> Api:
    return Api(local)


def test_a_token_of_a_backend_gets_the_authenticated_role(api: Api) -> None:
    user, logins = api.own("alice")
    answered = api.call(IdentityId=user, Logins=logins)
    assert answered["IdentityId"] == user
    credentials = answered["Credentials"]
    assert credentials.keys() == {"AccessKeyId", "SecretKey", "SessionToken", "Expiration"}
    assert credentials["AccessKeyId"].startswith("ASIA")
    assert (len(credentials["AccessKeyId"]), len(credentials["SecretKey"])) == (20, 40)
    assert credentials["Expiration"] == NOW + 3600
    ((web_identity, role_arn, region),) = api.source.asked
    assert (web_identity.token.reveal(), role_arn, region) == (logins[OWN], USERS, "eu-west-1")


def test_a_guest_gets_the_unauthenticated_role(api: Api) -> None:
    guest = api.local.guest()
    assert api.call(IdentityId=guest)["Credentials"]
    ((web_identity, role_arn, _region),) = api.source.asked
    assert (role_arn, web_identity.claims["amr"], web_identity.claims["sub"]) == (GUESTS, ["unauthenticated"], guest)


def test_a_rule_gives_another_role(api: Api) -> None:
    user, logins = api.own("alice", principal_tags={"team": "blue"})
    assert api.call(IdentityId=user, Logins=logins)["Credentials"]
    assert api.call(IdentityId=user, Logins=logins, CustomRoleArn=BLUE)["Credentials"]
    refused = api.call(IdentityId=user, Logins=logins, CustomRoleArn=USERS)
    assert refused["__type"] == "NotAuthorizedException"
    assert [role_arn for _, role_arn, _ in api.source.asked] == [BLUE, BLUE]


def test_a_pool_without_roles_has_the_error_of_cognito(local: LocalEngineUnderTest) -> None:
    api = Api(local, {})
    user, logins = api.own("alice")
    assert api.call(IdentityId=user, Logins=logins) == {
        "__type": "InvalidIdentityPoolConfigurationException",
        "message": "Invalid identity pool configuration. Check assigned IAM roles for this pool.",
    }
    assert api.source.asked == []


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (InvalidIdentityPoolConfiguration("x"), "InvalidIdentityPoolConfigurationException"),
        (EngineUnavailable("x"), "InternalErrorException"),
    ],
)
def test_rejections_of_sts_are_reported(api: Api, failure: Exception, code: str) -> None:
    api.source.failure = failure
    user, logins = api.own("alice")
    assert api.call(IdentityId=user, Logins=logins)["__type"] == code


def test_without_a_valid_login_there_are_no_credentials(api: Api) -> None:
    user, logins = api.own("alice")
    other, _ = api.own("bob")
    assert api.call(IdentityId=user)["message"] == f"Access to Identity '{user}' is forbidden."
    assert api.call(IdentityId=other, Logins=logins)["message"].startswith("Logins don't match.")
    assert api.call(IdentityId=user, Logins={DEVELOPER: "alice"})["message"] == "Please provide a valid public provider"
    assert api.local.store.delete(user)
    assert api.call(IdentityId=user, Logins=logins)["__type"] == "ResourceNotFoundException"
    assert api.source.asked == []


def test_the_role_is_in_the_audit_log_and_no_secret(api: Api) -> None:
    user, logins = api.own("alice")
    credentials = api.call(IdentityId=user, Logins=logins)["Credentials"]
    (entry,) = api.audited
    result, request = entry.result, entry.request
    assert (result.role_arn, result.expire_time, result.identity_id) == (USERS, NOW + 3600, user)
    assert (request.identity_pool_id, request.provider_names) == (POOL, (OWN,))
    for secret in (credentials["SecretKey"], credentials["SessionToken"], logins[OWN]):
        assert secret not in repr(entry)
        assert secret not in repr(api.source.asked)


def test_fake_credentials_are_stable_for_an_identity_and_differ_between_identities(api: Api) -> None:
    keys = [
        api.call(IdentityId=user, Logins=logins)["Credentials"]["AccessKeyId"]
        for user, logins in (api.own("alice"), api.own("alice"), api.own("bob"))
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_role_arn_has_the_limits_of_aws(api: Api) -> None:
    refused = api.call(IdentityId="eu-west-1:1", CustomRoleArn="arn:short")
    assert refused["message"] == (
        "1 validation error detected: Value 'arn:short' at 'customRoleArn' failed to satisfy constraint: "
        "Member must have length greater than or equal to 20"
    )
