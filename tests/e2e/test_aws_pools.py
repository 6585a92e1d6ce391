"""Pools that are created through Cognito's own API, on two servers with one store."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import grpc
import jwt
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.fakes.oidc_provider import OidcProvider, rsa_key, sign
from tests.support.calls import Caller
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess, write_config
from tests.support.tokend import run

REGION, ACCOUNT = "us-east-1", "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/shop"
USER_POOL = f"cognito-idp.{REGION}.amazonaws.com/{REGION}_shop"
ARN_OF_IDP = f"arn:aws:iam::{ACCOUNT}:oidc-provider/idp.example"
NO_POOL = f"{REGION}:00000000-0000-4000-8000-000000000000"

AWS_SETTINGS = """
[aws]
listen = "127.0.0.1:0"
manage_pools = true
account_id = "{account}"
[aws.open_id_connect_providers."idp.example"]
client_ids = ["app"]
issuer = "{provider}"
[aws.open_id_connect_providers."{user_pool}"]
issuer = "{provider}"
[aws.credentials]
source = "static"
[callers]
aws_key_file = "{directory}/aws.key"
[callers.aws_keys]
terraform = ["{access_key}"]
reader = ["{access_key_of_reader}"]
[policy.readers]
callers = ["aws:reader"]
pools = ["*"]
operations = ["DescribeIdentityPool"]
[policy.all]
callers = ["aws:terraform", "anonymous", "unsigned:**"]
pools = ["*"]
operations = ["*"]
principal_tag_keys = ["*"]
[audit]
destination = "file:{directory}/audit.log"
required = true
"""


@dataclass
class Called:
    """The address of a gRPC listener, and a pool."""

    endpoint: str
    identity_pool_id: str
    developer_provider_name: str


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pools")


@pytest.fixture(scope="module")
def credentials(directory: Path) -> tuple[str, str]:
    (directory / "aws.key").write_text(bytes(range(32)).hex(), encoding="ascii")
    return new_access_key(directory, "terraform")


@pytest.fixture(scope="module")
def credentials_of_reader(directory: Path, credentials: tuple[str, str]) -> tuple[str, str]:
    made = new_access_key(directory, "reader")
    assert made != credentials
    return made


def new_access_key(directory: Path, name: str) -> tuple[str, str]:
    made = run("callers", "new-aws-key", name, "--key-file", str(directory / "aws.key"))
    assert made.returncode == 0, made.stderr
    values = dict(line.split("=", 1) for line in made.stdout.splitlines())
    return values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"]


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    """The provider of ID tokens, under two names."""
    with OidcProvider() as running:
        yield running


@pytest.fixture(scope="module")
def servers(
    directory: Path, credentials: tuple[str, str], credentials_of_reader: tuple[str, str], provider: OidcProvider
) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    extra = AWS_SETTINGS.format(
        directory=directory,
        access_key=credentials[0],
        access_key_of_reader=credentials_of_reader[0],
        account=ACCOUNT,
        provider=provider.issuer,
        user_pool=USER_POOL,
    )
    config = write_config(directory, extra)
    with ServerProcess(config) as one, ServerProcess(config) as other:
        yield one, other


@pytest.fixture(scope="module")
def clients(servers: tuple[ServerProcess, ServerProcess], credentials: tuple[str, str]) -> Iterator[tuple[Any, Any]]:
    session = boto3.Session(*credentials, region_name=REGION)
    once = Config(retries={"total_max_attempts": 1}, proxies={})
    made = [session.client("cognito-identity", endpoint_url=server.aws, config=once) for server in servers]
    yield made[0], made[1]
    for each in made:
        each.close()


@pytest.fixture
def client(clients: tuple[Any, Any]) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
    return clients[0]


def without_metadata(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def token_claims(server: ServerProcess, pool: str, provider: str, user: str) -> dict[str, Any]:
    """Returns the claims of a token that a gRPC caller gets for a user."""
    caller = Caller(Called(server.endpoint, pool, provider))
    try:
        token = caller.get_token(user).token
    finally:
        caller.close()
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def test_terraforms_calls_manage_pools_roles_and_principal_tags(clients: tuple[Any, Any]) -> None:
    """aws_cognito_identity_pool, _roles_attachment and _provider_principal_tag: create, plan, change, destroy.

    The order of the calls and their members are those of the provider's resources (hashicorp/terraform-provider-aws,
    internal/service/cognitoidentity): each resource reads after it writes, an update omits the developer provider and
    the tags, tags have separate calls, and roles and principal tags are destroyed by setting them to nothing.
    """
    one, other = clients
    asked = {
        "IdentityPoolName": "shop",
        "AllowUnauthenticatedIdentities": False,
        "AllowClassicFlow": False,
        "DeveloperProviderName": "login.shop",
        "SupportedLoginProviders": {"graph.facebook.com": "7346241598935552"},
        "IdentityPoolTags": {"team": "shop", "stage": "test"},
    }
    pool = {"IdentityPoolId": one.create_identity_pool(**asked)["IdentityPoolId"]}
    assert without_metadata(other.describe_identity_pool(**pool)) == {**pool, **asked}

    roles = {"authenticated": ROLE}
    rule = {"Claim": "isAdmin", "MatchType": "Equals", "Value": "paid", "RoleARN": ROLE}
    mapping = {
        "Type": "Rules",
        "AmbiguousRoleResolution": "AuthenticatedRole",
        "RulesConfiguration": {"Rules": [rule]},
    }
    one.set_identity_pool_roles(**pool, Roles=roles, RoleMappings={"graph.facebook.com": mapping})
    assert without_metadata(other.get_identity_pool_roles(**pool)) == {
        **pool,
        "Roles": roles,
        "RoleMappings": {"graph.facebook.com": mapping},
    }

    provider = {**pool, "IdentityProviderName": "graph.facebook.com"}
    one.set_principal_tag_attribute_map(**provider, UseDefaults=False, PrincipalTags={"test": "value"})
    mapped = without_metadata(other.get_principal_tag_attribute_map(**provider))
    assert mapped == {**provider, "UseDefaults": False, "PrincipalTags": {"test": "value"}}

    arn = f"arn:aws:cognito-identity:{REGION}:{ACCOUNT}:identitypool/{pool['IdentityPoolId']}"
    empty: dict[str, Any] = {
        "CognitoIdentityProviders": [],
        "SupportedLoginProviders": {},
        "OpenIdConnectProviderARNs": [],
        "SamlProviderARNs": [],
    }
    one.update_identity_pool(
        **pool,
        IdentityPoolName="shop",
        AllowUnauthenticatedIdentities=True,
        AllowClassicFlow=False,
        **empty,
    )
    one.untag_resource(ResourceArn=arn, TagKeys=["stage"])
    one.tag_resource(ResourceArn=arn, Tags={"team": "other"})
    assert without_metadata(other.describe_identity_pool(**pool)) == {
        **pool,
        "IdentityPoolName": "shop",
        "AllowUnauthenticatedIdentities": True,
        "AllowClassicFlow": False,
        "DeveloperProviderName": "login.shop",
        "IdentityPoolTags": {"team": "other"},
    }
    assert without_metadata(other.list_tags_for_resource(ResourceArn=arn)) == {"Tags": {"team": "other"}}

    one.set_principal_tag_attribute_map(**provider, UseDefaults=True, PrincipalTags={})
    one.set_identity_pool_roles(**pool, Roles={}, RoleMappings={})
    assert without_metadata(other.get_identity_pool_roles(**pool)) == pool
    one.delete_identity_pool(**pool)
    with pytest.raises(other.exceptions.ResourceNotFoundException):
        other.describe_identity_pool(**pool)


def test_a_created_pool_issues_tokens_on_every_server(
    clients: tuple[Any, Any], servers: tuple[ServerProcess, ServerProcess]
) -> None:
    one, other = clients
    made = one.create_identity_pool(
        IdentityPoolName="made", AllowUnauthenticatedIdentities=False, DeveloperProviderName="login.made"
    )
    pool = made["IdentityPoolId"]
    issued = other.get_open_id_token_for_developer_identity(
        IdentityPoolId=pool, Logins={"login.made": "alice"}, PrincipalTags={"team": "blue"}
    )
    claims = [token_claims(server, pool, "login.made", "alice") for server in servers]
    assert {each["sub"] for each in claims} == {issued["IdentityId"]}
    assert {each["aud"] for each in claims} == {pool}
    assert jwt.get_unverified_header(issued["Token"])["alg"] == "RS512"
    tags = jwt.decode(issued["Token"], options={"verify_signature": False})["https://aws.amazon.com/tags"]
    assert tags == {"principal_tags": {"team": ["blue"]}}
    keys = jwt.PyJWKClient(f"{servers[1].issuer}/.well-known/jwks.json")
    key = keys.get_signing_key_from_jwt(issued["Token"])
    assert jwt.decode(issued["Token"], key, algorithms=["RS512"], audience=pool)["iss"] == servers[1].issuer

    one.delete_identity_pool(IdentityPoolId=pool)
    with pytest.raises(one.exceptions.ResourceNotFoundException):
        one.get_open_id_token_for_developer_identity(IdentityPoolId=pool, Logins={"login.made": "alice"})
    with pytest.raises(grpc.RpcError) as refused:
        token_claims(servers[0], pool, "login.made", "alice")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_pools_are_listed_by_paginators_of_the_sdk(client: Any) -> None:  # noqa: ANN401 - as above
    names = {f"listed-{number}" for number in range(3)}
    for name in names:
        client.create_identity_pool(IdentityPoolName=name, AllowUnauthenticatedIdentities=False)
    pages = [*client.get_paginator("list_identity_pools").paginate(PaginationConfig={"PageSize": 1})]
    found = [pool for page in pages for pool in page["IdentityPools"]]
    assert {len(page["IdentityPools"]) for page in pages} == {1}
    assert names | {DEVELOPER_PROVIDER} <= {pool["IdentityPoolName"] for pool in found}
    ids = [pool["IdentityPoolId"] for pool in found]
    assert ids == sorted(set(ids))


def test_a_pool_of_the_configuration_is_described_and_stays(client: Any) -> None:  # noqa: ANN401 - as above
    assert without_metadata(client.describe_identity_pool(IdentityPoolId=POOL_ID)) == {
        "IdentityPoolId": POOL_ID,
        "IdentityPoolName": DEVELOPER_PROVIDER,
        "AllowUnauthenticatedIdentities": False,
        "AllowClassicFlow": False,
        "DeveloperProviderName": DEVELOPER_PROVIDER,
        "IdentityPoolTags": {},
    }
    with pytest.raises(client.exceptions.NotAuthorizedException, match="is declared in the configuration"):
        client.delete_identity_pool(IdentityPoolId=POOL_ID)


def audited(directory: Path, answer: dict[str, Any]) -> dict[str, Any]:
    """Returns the audit log's line about a call, by its response."""
    request_id, found = answer["ResponseMetadata"]["RequestId"], list[dict[str, Any]]()
    while not found:  # the line may come after the answer
        lines = (directory / "audit.log").read_text(encoding="utf-8").split("\n")[:-1]
        of_call = (line for line in map(json.loads, lines) if line["requestID"] == request_id)
        found = [line for line in of_call if "phase" not in line["additionalEventData"]]
    (line,) = found
    return line


def test_a_refusal_names_the_pool_with_its_account(
    client: Any,  # noqa: ANN401 - as above
    servers: tuple[ServerProcess, ServerProcess],
    credentials_of_reader: tuple[str, str],
) -> None:
    made = client.create_identity_pool(IdentityPoolName="named", AllowUnauthenticatedIdentities=False)
    pool = {"IdentityPoolId": made["IdentityPoolId"]}
    session = boto3.Session(*credentials_of_reader, region_name=REGION)
    once = Config(retries={"total_max_attempts": 1}, proxies={})
    reader = session.client("cognito-identity", endpoint_url=servers[1].aws, config=once)
    assert reader.describe_identity_pool(**pool)["IdentityPoolName"] == "named"
    arn = f"arn:aws:cognito-identity:{REGION}:{ACCOUNT}:identitypool/{pool['IdentityPoolId']}"
    with pytest.raises(ClientError, match=f"User: aws:reader is not authorized to .* on resource: {arn}"):
        reader.delete_identity_pool(**pool)
    reader.close()


def test_the_audit_has_the_pool_that_was_made(client: Any, directory: Path) -> None:  # noqa: ANN401 - as above
    made = client.create_identity_pool(IdentityPoolName="audited", AllowUnauthenticatedIdentities=False)
    line = audited(directory, made)
    assert (line["eventName"], line["awsRegion"]) == ("CreateIdentityPool", REGION)
    assert line["responseElements"] == {"identityPoolId": made["IdentityPoolId"]}


def test_the_audit_log_records_a_failed_pool_deletion(client: Any, directory: Path) -> None:  # noqa: ANN401 - as above
    with pytest.raises(ClientError) as refused:
        client.delete_identity_pool(IdentityPoolId=NO_POOL)
    line = audited(directory, refused.value.response)
    assert (line["eventName"], line["errorCode"]) == ("DeleteIdentityPool", "RESOURCE_NOT_FOUND")
    assert line["userIdentity"] == {"type": "aws_signature", "principalId": "aws:terraform"}
    assert line["requestParameters"] == {"identityPoolId": NO_POOL}
    assert (line["managementEvent"], line["readOnly"]) == (True, False)


def test_a_pool_that_was_made_may_have_guests(
    clients: tuple[Any, Any], servers: tuple[ServerProcess, ServerProcess]
) -> None:
    one, _other = clients
    pool = one.create_identity_pool(IdentityPoolName="guests", AllowUnauthenticatedIdentities=True)["IdentityPoolId"]
    unsigned = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}, proxies={})
    device = boto3.client("cognito-identity", REGION, endpoint_url=servers[1].aws, config=unsigned)
    guest = device.get_id(IdentityPoolId=pool)["IdentityId"]
    token = device.get_open_id_token(IdentityId=guest)["Token"]
    with pytest.raises(device.exceptions.InvalidIdentityPoolConfigurationException):
        device.get_credentials_for_identity(IdentityId=guest)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["aud"], claims["amr"]) == (guest, pool, ["unauthenticated"])
    assert one.describe_identity(IdentityId=guest)["IdentityId"] == guest
    assert [each["IdentityId"] for each in one.list_identities(IdentityPoolId=pool, MaxResults=9)["Identities"]] == [
        guest
    ]
    one.set_identity_pool_roles(IdentityPoolId=pool, Roles={"unauthenticated": ROLE})
    assert device.get_credentials_for_identity(IdentityId=guest)["Credentials"]["SecretKey"]
    one.delete_identity_pool(IdentityPoolId=pool)
    with pytest.raises(one.exceptions.ResourceNotFoundException):
        one.describe_identity(IdentityId=guest)
    device.close()


def test_rules_of_a_pool_that_was_made_choose_the_role_of_credentials(client: Any) -> None:  # noqa: ANN401 - as above
    provider, blue = "login.roles", f"{ROLE}-blue"
    made = client.create_identity_pool(
        IdentityPoolName="roles", AllowUnauthenticatedIdentities=False, DeveloperProviderName=provider
    )
    pool = made["IdentityPoolId"]
    rule = {"Claim": "aws:RequestTag/team", "MatchType": "Equals", "Value": "blue", "RoleARN": blue}

    def give_roles(resolution: str) -> None:
        mapping = {
            "Type": "Rules",
            "AmbiguousRoleResolution": resolution,
            "RulesConfiguration": {"Rules": [rule]},
        }
        client.set_identity_pool_roles(
            IdentityPoolId=pool, Roles={"authenticated": ROLE}, RoleMappings={provider: mapping}
        )

    def access_key(team: str, **custom: str) -> str:
        issued = client.get_open_id_token_for_developer_identity(
            IdentityPoolId=pool, Logins={provider: "dora"}, PrincipalTags={"team": team}
        )
        logins = {"cognito-identity.amazonaws.com": issued["Token"]}
        answer = client.get_credentials_for_identity(IdentityId=issued["IdentityId"], Logins=logins, **custom)
        access_key_id: str = answer["Credentials"]["AccessKeyId"]
        return access_key_id

    give_roles("Deny")
    of_blue = access_key("blue")  # made-up credentials are of the identity and of its role
    assert of_blue == access_key("blue", CustomRoleArn=blue)
    for team, custom in (("red", {}), ("blue", {"CustomRoleArn": ROLE})):
        with pytest.raises(client.exceptions.NotAuthorizedException):
            access_key(team, **custom)
    give_roles("AuthenticatedRole")
    assert access_key("red") == access_key("red", CustomRoleArn=ROLE) != of_blue
    client.delete_identity_pool(IdentityPoolId=pool)


def test_operators_see_and_import_the_identities_of_a_pool_that_was_made(client: Any, directory: Path) -> None:  # noqa: ANN401 - as above
    made = client.create_identity_pool(
        IdentityPoolName="seen", AllowUnauthenticatedIdentities=False, DeveloperProviderName="login.seen"
    )
    pool = made["IdentityPoolId"]
    issued = client.get_open_id_token_for_developer_identity(IdentityPoolId=pool, Logins={"login.seen": "carol"})
    options = ("--config", str(directory / "tokend.toml"), "--identity-pool-id")
    listed = run("identities", "list", *options, pool)
    assert (listed.stderr, listed.returncode) == ("", 0)
    (identity,) = json.loads(listed.stdout)["Identities"]
    assert (identity["IdentityId"], identity["Logins"]) == (issued["IdentityId"], ["login.seen"])
    unknown = run("identities", "list", *options, NO_POOL)
    assert (unknown.returncode, f"IdentityPool '{NO_POOL}' not found." in unknown.stderr) == (1, True)
    line = json.loads(run("identities", "export", *options, pool).stdout)
    client.delete_identities(IdentityIdsToDelete=[issued["IdentityId"]])
    for name, answer in (
        ("login.other", "line 1: Logins: login.other: not a provider of the pool"),
        ("login.seen", "identities: 1 created, 0 already present, 0 left out"),
    ):
        logins = [{**login, "ProviderName": name} for login in line["Logins"]]
        (directory / "seen.jsonl").write_text(json.dumps({**line, "Logins": logins}), encoding="utf-8")
        imported = run("identities", "import", *options, pool, str(directory / "seen.jsonl"))
        assert answer in imported.stdout + imported.stderr
    again = client.get_open_id_token_for_developer_identity(IdentityPoolId=pool, Logins={"login.seen": "carol"})
    assert again["IdentityId"] == issued["IdentityId"]


def id_token(provider: OidcProvider, user: str, client_id: str = "app", **claims: object) -> str:
    now = int(time.time())
    all_claims = {"iss": provider.issuer, "sub": user, "aud": client_id, "iat": now, "exp": now + 600, **claims}
    return sign({"alg": "RS256", "kid": "1"}, all_claims, rsa_key("1"))


def test_a_created_pool_accepts_logins_of_its_identity_providers(
    clients: tuple[Any, Any], servers: tuple[ServerProcess, ServerProcess], provider: OidcProvider
) -> None:
    """Users' devices call one server and a backend the other, with tags from claims and roles from the token."""
    one, other = clients
    pool = one.create_identity_pool(
        IdentityPoolName="federated",
        AllowUnauthenticatedIdentities=False,
        DeveloperProviderName="login.federated",
        OpenIdConnectProviderARNs=[
            f"arn:aws:iam::{ACCOUNT}:oidc-provider/{name}" for name in ("idp.example", "undeclared.example")
        ],
        CognitoIdentityProviders=[
            {"ProviderName": USER_POOL, "ClientId": client_id, "ServerSideTokenCheck": False}
            for client_id in ("web", "phone")
        ],
    )["IdentityPoolId"]
    of_idp = {"IdentityPoolId": pool, "IdentityProviderName": "idp.example"}
    one.set_principal_tag_attribute_map(**of_idp, UseDefaults=False, PrincipalTags={"team": "department"})
    by_token = {"Type": "Token", "AmbiguousRoleResolution": "Deny"}
    one.set_identity_pool_roles(
        IdentityPoolId=pool, Roles={"authenticated": ROLE}, RoleMappings={f"{USER_POOL}:web": by_token}
    )
    unsigned = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}, proxies={})
    device = boto3.client("cognito-identity", REGION, endpoint_url=servers[0].aws, config=unsigned)

    login = {"idp.example": id_token(provider, "u-1", department="sales")}
    identity = device.get_id(IdentityPoolId=pool, Logins=login)["IdentityId"]
    token = device.get_open_id_token(IdentityId=identity, Logins=login)["Token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["https://aws.amazon.com/tags"] == {"principal_tags": {"team": ["sales"]}}
    assert claims["amr"] == ["authenticated", "idp.example", f"{ARN_OF_IDP}:OIDC:u-1"]

    both = {"login.federated": "alice", **login}
    issued = other.get_open_id_token_for_developer_identity(IdentityPoolId=pool, Logins=both)
    assert issued["IdentityId"] == identity

    def access_key(role: str | None, client_id: str = "web", **custom: str) -> str:
        named = {"cognito:preferred_role": role, "cognito:roles": [role, f"{ROLE}-b"]} if role else {}
        logins = {USER_POOL: id_token(provider, "u-2", client_id, token_use="id", **named)}
        user = device.get_id(IdentityPoolId=pool, Logins=logins)["IdentityId"]
        answer = device.get_credentials_for_identity(IdentityId=user, Logins=logins, **custom)
        access_key_id: str = answer["Credentials"]["AccessKeyId"]
        return access_key_id

    assert access_key(f"{ROLE}-a") != access_key(f"{ROLE}-a", CustomRoleArn=f"{ROLE}-b")
    with pytest.raises(device.exceptions.NotAuthorizedException, match="ambiguous role mapping rules"):
        access_key(None)
    assert access_key(f"{ROLE}-a", "phone") == access_key(None, "phone") != access_key(f"{ROLE}-a")
    for name, client_id in (("idp.example", "web"), (USER_POOL, "app")):
        with pytest.raises(device.exceptions.NotAuthorizedException, match="not from a supported provider"):
            device.get_id(IdentityPoolId=pool, Logins={name: id_token(provider, "u-1", client_id)})
    with pytest.raises(ClientError):
        device.get_id(IdentityPoolId=pool, Logins={"undeclared.example": login["idp.example"]})
    device.close()
