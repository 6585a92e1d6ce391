"""GetCredentialsForIdentity with an independent STS: boto3 calls it, and the STS verifies the token."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.clients.toolchains import BUILD_TIMEOUT
from tests.support.ports import free_port
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess, write_config
from tests.support.sts import ROLE, independent_sts

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)

OTHER_ROLE = "arn:aws:iam::123456789012:role/not-allowed"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("credentials")


@pytest.fixture(scope="module")
def access_key(directory: Path) -> dict[str, str]:
    """The environment variables for SDKs of a caller named `backend`."""
    (directory / "aws.key").write_text(secrets.token_hex(32), encoding="ascii")
    (directory / "aws.key").chmod(0o600)
    command = [str(Path(sys.executable).parent / "tokend"), "callers", "new-aws-key", "backend"]
    done = subprocess.run(
        [*command, "--key-file", "aws.key"], cwd=directory, capture_output=True, text=True, check=True
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def server(directory: Path, access_key: dict[str, str]) -> Iterator[ServerProcess]:
    issuer = f"http://127.0.0.1:{(port := free_port())}"
    with independent_sts(directory, issuer, POOL_ID) as sts:
        configuration = f"""
allow_unauthenticated_identities = true
[pools."{POOL_ID}".roles]
authenticated = "{ROLE}"
unauthenticated = "{OTHER_ROLE}"
[[pools."{POOL_ID}".roles.rules]]
claim = "aws:RequestTag/team"
match = "Equals"
value = "blue"
role_arn = "{OTHER_ROLE}"
[aws]
listen = "127.0.0.1:0"
[aws.credentials]
source = "sts"
endpoint_url = "{sts}"
timeout_seconds = 60
[callers]
aws_key_file = "{directory}/aws.key"
[callers.aws_keys]
backend = ["{access_key["AWS_ACCESS_KEY_ID"]}"]
[policy.backends]
callers = ["aws:*", "anonymous"]
pools = ["*"]
operations = ["*"]
principal_tag_keys = ["*"]
[policy.devices]
callers = ["unsigned:*"]
pools = ["{POOL_ID}"]
operations = ["GetId", "GetCredentialsForIdentity"]
"""
        path = write_config(directory, configuration, algorithm="RS256")
        text = path.read_text(encoding="utf-8")
        its_own = f'[issuer]\nlisten = "127.0.0.1:{port}"\nurl = "{issuer}"'
        path.write_text(text.replace('[issuer]\nlisten = "127.0.0.1:0"', its_own), encoding="utf-8")
        with ServerProcess(path, directory=directory) as running:
            assert running.issuer == issuer
            yield running


@pytest.fixture(scope="module")
def backend(server: ServerProcess, access_key: dict[str, str]) -> Iterator[Any]:
    session = boto3.Session(*access_key.values(), region_name="us-east-1")
    client = session.client("cognito-identity", endpoint_url=server.aws, config=Config(proxies={}))
    yield client
    client.close()


@pytest.fixture(scope="module")
def device(server: ServerProcess) -> Iterator[Any]:
    config = Config(signature_version=UNSIGNED, proxies={}, retries={"total_max_attempts": 1})
    client = boto3.Session(region_name="us-east-1").client("cognito-identity", endpoint_url=server.aws, config=config)
    yield client
    client.close()


def login(backend: Any, user: str, **members: object) -> tuple[str, dict[str, str]]:  # noqa: ANN401
    issued = backend.get_open_id_token_for_developer_identity(
        IdentityPoolId=POOL_ID, Logins={DEVELOPER_PROVIDER: user}, **members
    )
    return issued["IdentityId"], {"cognito-identity.amazonaws.com": issued["Token"]}


def code(raised: Any) -> str:  # noqa: ANN401 - of pytest
    found: str = raised.value.response["Error"]["Code"]
    return found


def test_a_device_gets_credentials_for_the_token_of_its_backend(backend: Any, device: Any) -> None:  # noqa: ANN401
    identity_id, logins = login(backend, "alice")
    answered = device.get_credentials_for_identity(IdentityId=identity_id, Logins=logins)
    assert answered["IdentityId"] == identity_id
    credentials = answered["Credentials"]
    assert credentials["AccessKeyId"]
    assert credentials["SecretKey"]
    assert credentials["SessionToken"]
    assert credentials["Expiration"] > datetime.now(UTC)
    asked = device.get_credentials_for_identity(IdentityId=identity_id, Logins=logins, CustomRoleArn=ROLE)
    assert asked["Credentials"]["AccessKeyId"] != ""


def test_a_role_that_sts_denies_is_an_invalid_pool_configuration(backend: Any, device: Any) -> None:  # noqa: ANN401
    identity_id, logins = login(backend, "bob", PrincipalTags={"team": "blue"})
    with pytest.raises(device.exceptions.InvalidIdentityPoolConfigurationException, match="Check assigned IAM roles"):
        device.get_credentials_for_identity(IdentityId=identity_id, Logins=logins)
    with pytest.raises(device.exceptions.NotAuthorizedException):
        device.get_credentials_for_identity(IdentityId=identity_id, Logins=logins, CustomRoleArn=ROLE)


def test_a_guest_role_that_sts_denies_is_an_invalid_pool_configuration(device: Any) -> None:  # noqa: ANN401
    guest = device.get_id(IdentityPoolId=POOL_ID)["IdentityId"]
    with pytest.raises(device.exceptions.InvalidIdentityPoolConfigurationException):
        device.get_credentials_for_identity(IdentityId=guest)


def test_a_deleted_identity_gets_no_credentials_for_its_unexpired_token(backend: Any, device: Any) -> None:  # noqa: ANN401
    identity_id, logins = login(backend, "carol")
    backend.delete_identities(IdentityIdsToDelete=[identity_id])
    with pytest.raises(device.exceptions.ResourceNotFoundException):
        device.get_credentials_for_identity(IdentityId=identity_id, Logins=logins)


def test_a_device_is_denied_operations_that_its_policy_does_not_grant(device: Any) -> None:  # noqa: ANN401
    guest = device.get_id(IdentityPoolId=POOL_ID)["IdentityId"]
    with pytest.raises(ClientError) as refused:
        device.get_open_id_token(IdentityId=guest)
    assert code(refused) == "NotAuthorizedException"
