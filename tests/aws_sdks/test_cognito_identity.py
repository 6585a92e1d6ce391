"""Unmodified AWS SDKs and CLIs call tokend in Cognito's place, by one environment variable, with AWS's results."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.clients.toolchains import BUILD_TIMEOUT, fail
from tests.support.aws_cli import AwsCli, aws_cli_1, aws_cli_2
from tests.support.go_program import go_program
from tests.support.java_program import java_program
from tests.support.javascript_program import javascript_program

from tokend_client.testing import CognitoIdentityServer

SOURCES = Path(__file__).parent / "cognito_identity"

#: The developer provider of a quickstart's pool.
PROVIDER = "login.example.internal"

#: The output of a program.
Seen = Mapping[str, str]

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)


@pytest.fixture(scope="module")
def server() -> Iterator[CognitoIdentityServer]:
    with CognitoIdentityServer() as running:
        yield running


@pytest.fixture(scope="module")
def environment(server: CognitoIdentityServer) -> Mapping[str, str]:
    """The environment of a machine without an AWS account."""
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "NO_PROXY": "127.0.0.1"}
    return {**server.environment_of_a_child(), **nothing, "AWS_EC2_METADATA_DISABLED": "true"}


def seen_by(command: list[str], environment: Mapping[str, str], directory: Path) -> Seen:
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=600
    )
    if done.returncode:
        fail(command, done.stdout + done.stderr)
    seen: Seen = json.loads(done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1])
    return seen


def assert_results_of_aws(seen: Seen, language: str) -> None:
    alice, bob = seen["alice"], seen["bob"]
    assert alice != bob
    assert seen == {
        "alice": alice,
        "bob": bob,
        "token": seen["token"],
        "key": seen["key"],
        "forbidden": f"Access to Identity '{alice}' is forbidden.",
        "found": alice,
        "merged": bob,
        "users": f"{language}-alice {language}-bob",
        "registered": "This developer user identifier is already registered with Cognito.",
        "unlinked": seen["unlinked"],
        "invalid": "ValidationException: 1 validation error detected: Value 'zz' at 'identityPoolId' failed to satisfy "
        r"constraint: Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+",
        "listed": "true",
        "described": PROVIDER,
        "unprocessed": "0",
        "deleted": seen["deleted"],
    }
    assert re.fullmatch("ASIA[A-Z2-7]{16}", seen["key"])
    assert "not found" in seen["unlinked"]
    assert re.fullmatch("Identity '.*' not found.", seen["deleted"])


def seen_by_boto3(client: Any, server: CognitoIdentityServer) -> Seen:  # noqa: ANN401 - boto3's
    pool = {"IdentityPoolId": server.identity_pool_id}
    provider = {"DeveloperProviderName": server.developer_provider_name}

    def register(user: str, **members: str) -> Mapping[str, str]:
        logins = {server.developer_provider_name: user}
        answer: Mapping[str, str] = client.get_open_id_token_for_developer_identity(**pool | members, Logins=logins)
        return answer

    alice, bob, carol = (register(f"python-{user}") for user in ("alice", "bob", "carol"))
    logins = {"cognito-identity.amazonaws.com": alice["Token"]}
    given = client.get_credentials_for_identity(IdentityId=alice["IdentityId"], Logins=logins)["Credentials"]
    with pytest.raises(client.exceptions.NotAuthorizedException) as forbidden:
        client.get_credentials_for_identity(IdentityId=alice["IdentityId"])
    found = client.lookup_developer_identity(**pool, DeveloperUserIdentifier="python-alice")
    users = {"SourceUserIdentifier": "python-alice", "DestinationUserIdentifier": "python-bob"}
    merged = client.merge_developer_identities(**pool, **provider, **users)
    both = client.lookup_developer_identity(**pool, IdentityId=bob["IdentityId"])
    with pytest.raises(client.exceptions.DeveloperUserAlreadyRegisteredException) as registered:
        register("python-carol", IdentityId=bob["IdentityId"])
    client.unlink_developer_identity(
        **pool, **provider, IdentityId=bob["IdentityId"], DeveloperUserIdentifier="python-alice"
    )
    with pytest.raises(client.exceptions.ResourceNotFoundException) as unlinked:
        client.lookup_developer_identity(**pool, DeveloperUserIdentifier="python-alice")
    with pytest.raises(client.exceptions.ClientError) as invalid:
        register("python-alice", IdentityPoolId="zz")
    error = invalid.value.response["Error"]
    listed = [each["IdentityId"] for each in client.list_identities(**pool, MaxResults=60)["Identities"]]
    described = client.describe_identity(IdentityId=carol["IdentityId"])
    deletion = client.delete_identities(IdentityIdsToDelete=[carol["IdentityId"]])
    with pytest.raises(client.exceptions.ResourceNotFoundException) as deleted:
        client.describe_identity(IdentityId=carol["IdentityId"])
    return {
        "alice": alice["IdentityId"],
        "bob": bob["IdentityId"],
        "token": alice["Token"],
        "key": given["AccessKeyId"],
        "forbidden": forbidden.value.response["Error"]["Message"],
        "found": found["IdentityId"],
        "merged": merged["IdentityId"],
        "users": " ".join(sorted(both["DeveloperUserIdentifierList"])),
        "registered": registered.value.response["Error"]["Message"],
        "unlinked": unlinked.value.response["Error"]["Message"],
        "invalid": f"{error['Code']}: {error['Message']}",
        "listed": "true" if {bob["IdentityId"], carol["IdentityId"]} <= {*listed} else "false",
        "described": " ".join(described["Logins"]),
        "unprocessed": str(len(deletion["UnprocessedIdentityIds"])),
        "deleted": deleted.value.response["Error"]["Message"],
    }


@pytest.fixture(scope="module")
def web_identity(
    server: CognitoIdentityServer, environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, str]:
    """The environment of a program that has a token of the service and no access key."""
    arguments = {name: value for name, value in server.client_arguments.items() if name != "config"}
    backend = boto3.Session().client("cognito-identity", **arguments)
    logins = {server.developer_provider_name: "workload"}
    issued = backend.get_open_id_token_for_developer_identity(IdentityPoolId=server.identity_pool_id, Logins=logins)
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text(issued["Token"], encoding="ascii")
    others = {name: value for name, value in environment.items() if "ACCESS_KEY" not in name}
    role = environment["COGNITO_IDENTITY_ROLE_ARN"]
    return {**others, "AWS_WEB_IDENTITY_TOKEN_FILE": str(path), "AWS_ROLE_ARN": role, "AWS_ROLE_SESSION_NAME": "suite"}


def assert_assumed(seen: Seen) -> None:
    """Asserts that a program has found the credentials for its token."""
    assert re.fullmatch("ASIA[A-Z2-7]{16}", seen["key"])
    assert seen["session"]


def test_boto3_gets_the_results_of_aws(
    server: CognitoIdentityServer,
    environment: Mapping[str, str],
    web_identity: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client = boto3.Session().client("cognito-identity")
    assert_results_of_aws(seen_by_boto3(client, server), "python")
    for name in environment.keys() - web_identity.keys():
        monkeypatch.delenv(name)
    for name, value in web_identity.items():
        monkeypatch.setenv(name, value)
    found = boto3.Session().get_credentials().get_frozen_credentials()
    assert_assumed({"key": found.access_key, "session": found.token})


def test_the_aws_sdk_for_go_gets_the_results_of_aws(
    environment: Mapping[str, str], web_identity: Mapping[str, str], tmp_path: Path
) -> None:
    program = go_program(tmp_path / "program", SOURCES / "go", "the AWS SDK for Go")
    assert_results_of_aws(seen_by([str(program)], environment, tmp_path), "go")
    assert_assumed(seen_by([str(program), "credentials"], web_identity, tmp_path))


def test_the_aws_sdk_for_java_gets_the_results_of_aws(
    environment: Mapping[str, str], web_identity: Mapping[str, str], tmp_path: Path
) -> None:
    command = java_program(SOURCES / "java", "example.Main", "the AWS SDK for Java")
    assert_results_of_aws(seen_by(command, environment, tmp_path), "java")
    assert_assumed(seen_by([*command, "credentials"], web_identity, tmp_path))


def test_the_aws_sdk_for_javascript_and_aws_jwt_verify_get_the_results_of_aws(
    server: CognitoIdentityServer, environment: Mapping[str, str], web_identity: Mapping[str, str], tmp_path: Path
) -> None:
    program = javascript_program(SOURCES / "javascript", "main.js", "the AWS SDK for JavaScript")
    verifier = javascript_program(SOURCES / "javascript", "verify.js", "aws-jwt-verify")
    seen = seen_by(program, environment, tmp_path)
    assert_results_of_aws(seen, "javascript")
    assert_assumed(seen_by([*program, "credentials"], web_identity, tmp_path))
    header, claims, signature = seen["token"].split(".")
    altered = f"{header}.{claims}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"

    def verdicts(audience: str) -> list[str]:
        question = {"issuer": server.issuer, "audience": audience, "tokens": [seen["token"], altered]}
        answer = subprocess.check_output(verifier, cwd=tmp_path, input=json.dumps(question), text=True)
        found: list[str] = json.loads(answer)
        return found

    good, bad = verdicts(server.identity_pool_id)
    assert good == ""
    assert "signature" in bad.lower()
    assert all("Aud" in each for each in verdicts("another")[:1])


@pytest.fixture
def cli(version: int, tmp_path: Path) -> Iterator[AwsCli]:
    with (aws_cli_1 if version == 1 else aws_cli_2)(tmp_path) as run_cli:
        yield run_cli


@pytest.mark.parametrize("version", [1, 2])
def test_the_aws_cli_gets_the_results_of_aws(
    server: CognitoIdentityServer,
    environment: Mapping[str, str],
    web_identity: Mapping[str, str],
    version: int,
    cli: AwsCli,
) -> None:
    pool = ["--identity-pool-id", server.identity_pool_id]
    provider = ["--developer-provider-name", server.developer_provider_name]
    alice, bob = f"cli{version}-alice", f"cli{version}-bob"

    def run_cli(words: Sequence[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return cli([*words, "--output", "json"], variables)

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return run_cli(["cognito-identity", *words, *pool], environment)

    def done(*words: str) -> Any:  # noqa: ANN401 - the command's JSON
        return output(call(*words))

    def output(ended: subprocess.CompletedProcess[str]) -> Any:  # noqa: ANN401 - the command's JSON
        assert (ended.stderr, ended.returncode) == ("", 0)
        return json.loads(ended.stdout or "null")

    for user in (alice, bob):
        logins = json.dumps({server.developer_provider_name: user})
        registered = done("get-open-id-token-for-developer-identity", "--logins", logins)
    users = ["--source-user-identifier", alice, "--destination-user-identifier", bob]
    assert done("merge-developer-identities", *provider, *users) == {"IdentityId": registered["IdentityId"]}
    both = done("lookup-developer-identity", "--identity-id", registered["IdentityId"])
    assert sorted(both["DeveloperUserIdentifierList"]) == [alice, bob]
    unlinked = ["--identity-id", registered["IdentityId"], "--developer-user-identifier", alice]
    assert done("unlink-developer-identity", *provider, *unlinked) is None
    refused = call("lookup-developer-identity", "--developer-user-identifier", alice)
    assert refused.returncode == (254 if version == 2 else 255)
    assert "An error occurred (ResourceNotFoundException) when calling the LookupDeveloperIdentity" in refused.stderr
    listed = done("list-identities", "--max-results", "60")["Identities"]
    assert registered["IdentityId"] in [each["IdentityId"] for each in listed]
    proof = json.dumps({"cognito-identity.amazonaws.com": registered["Token"]})
    identity = ["--identity-id", registered["IdentityId"]]
    exchange = ["cognito-identity", "get-credentials-for-identity", *identity, "--logins", proof]
    assert output(run_cli(exchange, environment))["Credentials"]["AccessKeyId"].startswith("ASIA")
    assume = ["sts", "assume-role-with-web-identity", "--role-session-name", "cli"]
    role = ["--role-arn", environment["COGNITO_IDENTITY_ROLE_ARN"]]
    assumed = output(run_cli([*assume, *role, "--web-identity-token", registered["Token"]], environment))
    assert assumed["SubjectFromWebIdentityToken"] == registered["IdentityId"]
    denied = run_cli(
        [*assume, "--role-arn", f"{role[1]}-not", "--web-identity-token", registered["Token"]], environment
    )
    assert "An error occurred (AccessDenied) when calling the AssumeRoleWithWebIdentity operation" in denied.stderr
    # The CLI's credentials from STS are for AWS services; this server accepts only its own access keys.
    signed = run_cli(["cognito-identity", "list-identities", *pool, "--max-results", "1"], web_identity)
    assert "(UnrecognizedClientException)" in signed.stderr
    assert "The security token included in the request is invalid." in signed.stderr
    deletion = ["cognito-identity", "delete-identities", "--identity-ids-to-delete", registered["IdentityId"]]
    assert output(run_cli(deletion, environment)) == {"UnprocessedIdentityIds": []}
