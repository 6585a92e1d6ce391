"""Unmodified AWS SDKs get their credentials from an independent STS, with a token file of tokend-agent."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from tests.clients.python.agent.running import COMMAND, RunningAgent
from tests.clients.toolchains import BUILD_TIMEOUT, ROOT, fail
from tests.support.go_program import go_program
from tests.support.java_program import java_program
from tests.support.server_process import ServerProcess, write_config
from tests.support.sts import ROLE, assume_role, independent_sts

SOURCES = Path(__file__).parent

PAGE = (ROOT / "clients" / "python" / "tokend-agent.md").read_text(encoding="utf-8")

BOTO3 = "import boto3; print(boto3.Session().get_credentials().get_frozen_credentials().access_key)"

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("aws-sdks")


@pytest.fixture(scope="module")
def tokend(directory: Path) -> Iterator[ServerProcess]:
    """A server whose tokens AWS would accept: signed with RS256."""
    with ServerProcess(write_config(directory, algorithm="RS256")) as server:
        yield server


@pytest.fixture(scope="module")
def config(tokend: ServerProcess, directory: Path) -> Path:
    path = directory / "agent.toml"
    path.write_text(
        f"""
[tokend]
endpoint = "{tokend.endpoint}"
plaintext = true
[health]
listen = ""
[[tokens]]
name = "orders"
file = "{directory}/token"
identity_pool_id = "{tokend.identity_pool_id}"
logins = {{ "{tokend.developer_provider_name}" = "service-orders" }}
[[tokens]]
name = "short"
file = "{directory}/short"
identity_pool_id = "{tokend.identity_pool_id}"
logins = {{ "{tokend.developer_provider_name}" = "service-orders" }}
token_duration_seconds = 3
""",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def agent(config: Path) -> Iterator[RunningAgent]:
    with RunningAgent(config) as running:
        running.wait_for("ready: ")
        yield running
        assert running.end() == 0


@pytest.fixture(scope="module")
def sts(tokend: ServerProcess, directory: Path) -> Iterator[str]:
    with independent_sts(directory, tokend.issuer, tokend.identity_pool_id) as url:
        yield url


@pytest.fixture(scope="module")
def bare(sts: str, directory: Path) -> Mapping[str, str]:
    """The environment of a program on a machine without AWS settings, except for the endpoint of STS."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return others | {
        "AWS_CONFIG_FILE": str(directory / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(directory / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_STS": sts,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
    }


@pytest.fixture(scope="module")
def environment(agent: RunningAgent, bare: Mapping[str, str], directory: Path) -> Mapping[str, str]:
    """The same, with the three variables of the agent's page."""
    assert agent
    shown = dict(re.findall(r"^export (AWS_\w+)=(.*)$", PAGE, re.MULTILINE))
    assert shown["AWS_WEB_IDENTITY_TOKEN_FILE"] == "/run/orders/token"
    return {**bare, **shown, "AWS_WEB_IDENTITY_TOKEN_FILE": str(directory / "token"), "AWS_ROLE_ARN": ROLE}


def access_key(command: list[str], environment: Mapping[str, str], directory: Path = SOURCES) -> str:
    """Returns the access key in the output of a program that looks up credentials."""
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=600
    )
    if done.returncode:
        fail(command, done.stdout + done.stderr)
    return "".join(re.findall(r"ASIA\w+", done.stdout))


def test_sts_accepts_only_valid_tokens_and_known_roles(agent: RunningAgent, sts: str, directory: Path) -> None:
    """The other tests are meaningless without this."""
    token = (directory / "token").read_text(encoding="ascii")
    answer = assume_role(sts, token)
    assert answer["SubjectFromWebIdentityToken"].startswith("us-east-1:")
    header, claims, signature = token.split(".")
    altered = f"{header}.{claims}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    for bad, why in ((altered, "token signature is invalid"), ("a.b.c", "AccessDenied")):
        with pytest.raises(ClientError, match=why):
            assume_role(sts, bad)
    with pytest.raises(ClientError, match="role not found"):
        assume_role(sts, token, ROLE.replace("reader", "writer"))
    expires = (directory / "short").read_text(encoding="ascii")
    for _ in range(5):  # replacements, at least a second apart: a token is valid for three seconds
        agent.wait_for("short: written", after=len(agent.log))
    with pytest.raises(ClientError) as caught:
        assume_role(sts, expires)
    assert caught.value.response["Error"]["Code"] == "ExpiredTokenException"


@pytest.mark.usefixtures("agent")
@pytest.mark.parametrize(
    ("issuer", "audience", "why"), [("", "another", "audience"), ("/other", "", "trust policy denies")]
)
def test_a_token_of_another_issuer_or_for_another_audience_is_refused(  # noqa: PLR0913, PLR0917 - fixtures
    tokend: ServerProcess, directory: Path, tmp_path: Path, issuer: str, audience: str, why: str
) -> None:
    with independent_sts(tmp_path, tokend.issuer + issuer, audience or tokend.identity_pool_id) as other:
        token = (directory / "token").read_text(encoding="ascii")
        with pytest.raises(ClientError, match=why):
            assume_role(other, token)


def test_boto3_gets_credentials_with_the_token_file(environment: Mapping[str, str]) -> None:
    assert access_key([sys.executable, "-c", BOTO3], environment)


def test_the_aws_sdk_for_go_gets_credentials_with_the_token_file(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    program = go_program(tmp_path / "program", SOURCES / "go", "the AWS SDK for Go")
    assert access_key([str(program)], environment)


def test_the_aws_sdk_for_java_gets_credentials_with_the_token_file(environment: Mapping[str, str]) -> None:
    assert access_key(java_program(SOURCES / "java", "example.Main", "the AWS SDK for Java"), environment)


def test_boto3_gets_credentials_from_a_credential_process(
    agent: RunningAgent, bare: Mapping[str, str], config: Path, tmp_path: Path
) -> None:
    """The profile of the agent's page: the profile's program calls the SDK, which must not use the profile."""
    assert agent
    (profile,) = re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL)
    found = re.sub(r"credential_process = tokend-agent", f"credential_process = {COMMAND}", profile)
    aws_config = tmp_path / "config"
    aws_config.write_text(re.sub(r"arn:\S+", ROLE, found), encoding="utf-8")
    environment = {
        **bare,
        "AWS_CONFIG_FILE": str(aws_config),
        "AWS_PROFILE": "orders",
        "TOKEND_AGENT_CONFIG": str(config),
    }
    assert access_key([sys.executable, "-c", BOTO3], environment)


def test_a_rejected_credential_process_reports_the_reason_without_the_token(
    agent: RunningAgent, bare: Mapping[str, str], config: Path, directory: Path
) -> None:
    assert agent
    command = [COMMAND, "aws-credentials", "orders", "--config", str(config), "--duration-seconds", "900", "--role-arn"]

    def run_for(role: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**bare, **variables}
        return subprocess.run([*command, role], env=environment, capture_output=True, encoding="utf-8", check=False)

    good = json.loads(run_for(ROLE).stdout)
    assert good.keys() == {"Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    refused = run_for(ROLE.replace("reader", "writer"))
    assert (refused.returncode, refused.stdout) == (254, "")
    assert "no credentials for orders: An error occurred (AccessDenied)" in refused.stderr
    away = run_for(ROLE, AWS_ENDPOINT_URL_STS="http://127.0.0.1:1", AWS_MAX_ATTEMPTS="1")
    assert (away.returncode, away.stdout) == (254, "")
    for part in (directory / "token").read_text(encoding="ascii").split("."):
        assert part not in refused.stderr + away.stderr
