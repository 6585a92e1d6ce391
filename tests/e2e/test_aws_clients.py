"""Cognito's own API with AWS's clients: the commands of server/aws.md, on a server in a separate process."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import httpx
import jwt
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.fakes.clock import FakeClock
from tests.support.certificates import write_certificate
from tests.support.metric_samples import samples, total
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, ServerProcess, write_config

from tokend_server import app
from tokend_server.app import Service
from tokend_server.config import Aws, load_config
from tokend_server.engines.local.providers import is_user_pool

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "server" / "aws.md").read_text(encoding="utf-8")

#: Variables of the SDKs by their names.
Credentials = Mapping[str, str]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("aws")


@pytest.fixture(scope="module")
def configuration(directory: Path) -> str:
    """Returns the page's tokend.toml, with the id of the access key that its commands have created."""
    commands, _client = blocks("sh")
    done = subprocess.run(
        ["sh", "-ec", commands], cwd=directory, env=with_commands({}), capture_output=True, text=True, check=True
    )
    configuration, devices, credentials, _providers = blocks("toml")
    of_pool, policy = devices.split(f'developer_provider_name = "{DEVELOPER_PROVIDER}"\n')[1].split("\n\n")
    policy = policy.replace('"GetId"', '"GetId", "GetCredentialsForIdentity"')
    made_up = credentials.replace('"sts"', '"static"')
    configuration = f"{of_pool}\n{configuration}\n{policy}\n{made_up}"
    (made,) = re.findall(r'"(TKND\w{16})"', done.stderr)
    return re.sub(r"TKND\w{16}", made, configuration.replace("127.0.0.1:4566", "127.0.0.1:0"))


def with_commands(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment with the commands of this one, and only these AWS variables."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "NO_PROXY": "127.0.0.1"}
    return {**others, **nothing, "PATH": path, **variables}


@pytest.fixture(scope="module")
def server(directory: Path, configuration: str) -> Iterator[ServerProcess]:
    audit = f'[audit]\ndestination = "file:{directory}/audit.log"\nrequired = true\n'
    with ServerProcess(write_config(directory, configuration + audit), directory=directory) as running:
        yield running


@pytest.fixture(scope="module")
def credentials(server: ServerProcess, directory: Path) -> Credentials:
    assert server.aws
    lines = (directory / "checkout.env").read_text(encoding="ascii").splitlines()
    return dict(line.split("=", 1) for line in lines)


def client_of(server: ServerProcess, credentials: Credentials, region: str = "us-east-1") -> Any:  # noqa: ANN401
    """Returns an unmodified boto3 client without retries."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY", server.aws)
        environment.setenv("NO_PROXY", "127.0.0.1")
        session = boto3.Session(
            credentials["AWS_ACCESS_KEY_ID"], credentials["AWS_SECRET_ACCESS_KEY"], region_name=region
        )
        once = Config(retries={"total_max_attempts": 1})
        return session.client("cognito-identity", config=once)


@pytest.fixture(scope="module")
def client(server: ServerProcess, credentials: Credentials) -> Iterator[Any]:
    made = client_of(server, credentials)
    yield made
    made.close()


def register(client: Any, user: str, **members: Any) -> str:  # noqa: ANN401
    arguments = {"IdentityPoolId": POOL_ID, "Logins": {DEVELOPER_PROVIDER: user}} | members
    identity_id: str = client.get_open_id_token_for_developer_identity(**arguments)["IdentityId"]
    return identity_id


def audited(directory: Path) -> list[dict[str, Any]]:
    lines = map(json.loads, (directory / "audit.log").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if "phase" not in line["additionalEventData"]]


def test_boto3_registers_looks_up_merges_and_unlinks(client: Any) -> None:  # noqa: ANN401
    alice, bob = register(client, "alice"), register(client, "bob")
    assert register(client, "alice") == alice != bob
    found = client.lookup_developer_identity(IdentityPoolId=POOL_ID, DeveloperUserIdentifier="alice")
    assert (found["IdentityId"], found["DeveloperUserIdentifierList"]) == (alice, ["alice"])
    users = {"SourceUserIdentifier": "alice", "DestinationUserIdentifier": "bob"}
    provider = {"IdentityPoolId": POOL_ID, "DeveloperProviderName": DEVELOPER_PROVIDER}
    assert client.merge_developer_identities(**provider, **users)["IdentityId"] == bob
    both = client.lookup_developer_identity(IdentityPoolId=POOL_ID, IdentityId=bob)
    assert sorted(both["DeveloperUserIdentifierList"]) == ["alice", "bob"]
    client.unlink_developer_identity(**provider, IdentityId=bob, DeveloperUserIdentifier="alice")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.lookup_developer_identity(IdentityPoolId=POOL_ID, DeveloperUserIdentifier="alice")


def test_errors_are_typed_and_in_cognitos_words(client: Any) -> None:  # noqa: ANN401
    carol, dave = register(client, "carol"), register(client, "dave")
    with pytest.raises(client.exceptions.DeveloperUserAlreadyRegisteredException) as registered:
        register(client, "carol", IdentityId=dave)
    assert registered.value.response["Error"]["Message"] == (
        "This developer user identifier is already registered with Cognito."
    )
    with pytest.raises(ClientError) as invalid:
        register(client, "carol", IdentityPoolId="zz", IdentityId=carol)
    assert invalid.value.response["Error"] == {
        "Code": "ValidationException",
        "Message": (
            "1 validation error detected: Value 'zz' at 'identityPoolId' failed to satisfy constraint: "
            r"Member must satisfy regular expression pattern: [\w-]+:[0-9a-f-]+"
        ),
    }
    other = POOL_ID[:-1] + "f"
    with pytest.raises(client.exceptions.ResourceNotFoundException, match=f"IdentityPool '{other}' not found."):
        register(client, "carol", IdentityPoolId=other)


def test_a_token_is_verified_by_the_keys_that_the_issuer_publishes(client: Any, server: ServerProcess) -> None:  # noqa: ANN401
    logins = {DEVELOPER_PROVIDER: "erin"}
    issued = client.get_open_id_token_for_developer_identity(IdentityPoolId=POOL_ID, Logins=logins)
    keys = httpx.get(f"{server.issuer}/.well-known/jwks.json", trust_env=False).json()
    header = jwt.get_unverified_header(issued["Token"])
    (key,) = [key for key in keys["keys"] if key["kid"] == header["kid"]]
    claims = jwt.decode(issued["Token"], jwt.PyJWK(key), algorithms=[header["alg"]], audience=POOL_ID)
    assert (claims["sub"], claims["iss"]) == (issued["IdentityId"], server.issuer)


def test_the_aws_cli_commands_of_the_page_return_an_identity_and_a_token(
    server: ServerProcess, directory: Path
) -> None:
    _made, commands = blocks("sh")
    commands = commands.replace("http://127.0.0.1:4566", server.aws)
    assert (POOL_ID in commands, f"{DEVELOPER_PROVIDER}=" in commands) == (True, True)
    done = subprocess.run(
        ["sh", "-ec", commands], cwd=directory, env=with_commands({}), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() == {"IdentityId", "Token"}


def test_a_wrong_secret_access_key_is_rejected_and_audited(
    server: ServerProcess, credentials: Credentials, directory: Path
) -> None:
    forged = client_of(server, {**credentials, "AWS_SECRET_ACCESS_KEY": 40 * "A"})
    with pytest.raises(ClientError) as refused:
        register(forged, "mallory")
    assert refused.value.response["Error"]["Code"] == "InvalidSignatureException"
    request_id = refused.value.response["ResponseMetadata"]["RequestId"]
    (line,) = [line for line in audited(directory) if line["requestID"] == request_id]
    assert (line["errorCode"], line["userIdentity"]) == ("CALLER_UNAUTHENTICATED", {"type": "Unknown"})


def test_a_request_for_another_region_is_refused(server: ServerProcess, credentials: Credentials) -> None:
    elsewhere = client_of(server, credentials, "eu-west-1")
    with pytest.raises(ClientError, match="Credential should be scoped to a valid region, not 'eu-west-1'"):
        register(elsewhere, "alice")


def test_the_audit_names_the_caller_and_the_identity(client: Any, directory: Path) -> None:  # noqa: ANN401
    logins = {DEVELOPER_PROVIDER: "frank"}
    issued = client.get_open_id_token_for_developer_identity(IdentityPoolId=POOL_ID, Logins=logins)
    request_id = issued["ResponseMetadata"]["RequestId"]
    (line,) = [line for line in audited(directory) if line["requestID"] == request_id]
    assert line["userIdentity"] == {"type": "aws_signature", "principalId": "aws:checkout"}
    assert line["sourceIPAddress"] == "127.0.0.1"
    assert line["userAgent"].startswith("Boto3/")
    assert line["responseElements"] == {"identityId": issued["IdentityId"]}
    assert line["additionalEventData"]["policy"] == "clients"
    assert "frank" not in json.dumps(line)


def test_boto3_lists_describes_and_deletes_identities(client: Any, directory: Path) -> None:  # noqa: ANN401
    users = {user: register(client, user) for user in ("heidi", "ivan", "judy")}
    listed: dict[str, Any] = {}
    token: dict[str, str] = {}
    while True:
        page = client.list_identities(IdentityPoolId=POOL_ID, MaxResults=2, **token)
        listed |= {each["IdentityId"]: each for each in page["Identities"]}
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert set(users.values()) <= set(listed)
    described = client.describe_identity(IdentityId=users["heidi"])
    described.pop("ResponseMetadata")
    assert described == listed[users["heidi"]]
    assert described["Logins"] == [DEVELOPER_PROVIDER]
    assert isinstance(described["CreationDate"], datetime)
    gone = [users["heidi"], users["ivan"]]
    deleted = client.delete_identities(IdentityIdsToDelete=gone)
    assert deleted["UnprocessedIdentityIds"] == []
    with pytest.raises(client.exceptions.ResourceNotFoundException, match=f"Identity '{gone[0]}' not found."):
        client.describe_identity(IdentityId=gone[0])
    assert (register(client, "heidi") == gone[0], register(client, "judy")) == (False, users["judy"])
    request_id = deleted["ResponseMetadata"]["RequestId"]
    (line,) = [line for line in audited(directory) if line["requestID"] == request_id]
    assert (line["eventName"], line["readOnly"]) == ("DeleteIdentities", False)
    assert line["requestParameters"] == {"identityIdsToDelete": gone}
    assert line["additionalEventData"]["policy"] == "clients"


def test_boto3_without_credentials_gets_a_guest_and_its_token(server: ServerProcess, directory: Path) -> None:
    device = boto3.Session(region_name="us-east-1").client(
        "cognito-identity", endpoint_url=server.aws, config=Config(signature_version=UNSIGNED, proxies={})
    )
    guest = device.get_id(IdentityPoolId=POOL_ID)["IdentityId"]
    issued = device.get_open_id_token(IdentityId=guest)
    claims = jwt.decode(issued["Token"], options={"verify_signature": False})
    assert (claims["sub"], claims["amr"], claims["exp"] - claims["iat"]) == (guest, ["unauthenticated"], 600)
    with pytest.raises(device.exceptions.NotAuthorizedException, match="Logins don't match"):
        device.unlink_identity(IdentityId=guest, Logins={}, LoginsToRemove=["accounts.google.com"])
    with pytest.raises(device.exceptions.InvalidParameterException, match="Please provide a valid public provider"):
        device.get_id(IdentityPoolId=POOL_ID, Logins={DEVELOPER_PROVIDER: "alice"})
    request_id = issued["ResponseMetadata"]["RequestId"]
    (line,) = [line for line in audited(directory) if line["requestID"] == request_id]
    assert line["userIdentity"] == {"type": "Unknown", "principalId": "unsigned:127.0.0.1"}
    assert line["additionalEventData"]["policy"] == "devices"
    device.close()


def test_boto3_gets_credentials_for_a_guest_and_a_user(client: Any, server: ServerProcess, directory: Path) -> None:  # noqa: ANN401
    unsigned = Config(signature_version=UNSIGNED, proxies={})
    device = boto3.Session(region_name="us-east-1").client("cognito-identity", endpoint_url=server.aws, config=unsigned)
    guest = device.get_id(IdentityPoolId=POOL_ID)["IdentityId"]
    logins = {DEVELOPER_PROVIDER: "mona"}
    issued = client.get_open_id_token_for_developer_identity(IdentityPoolId=POOL_ID, Logins=logins)
    own = {"cognito-identity.amazonaws.com": issued["Token"]}
    roles = {}
    for identity_id, shown in ((guest, {}), (issued["IdentityId"], own)):
        answered = device.get_credentials_for_identity(IdentityId=identity_id, Logins=shown)
        assert answered["Credentials"]["AccessKeyId"].startswith("ASIA")
        assert answered["Credentials"]["Expiration"].tzinfo
        request_id = answered["ResponseMetadata"]["RequestId"]
        (line,) = [line for line in audited(directory) if line["requestID"] == request_id]
        roles[identity_id] = line["additionalEventData"]["roleArn"].rpartition("/")[2]
        assert answered["Credentials"]["SecretKey"] not in json.dumps(line)
    assert list(roles.values()) == ["app-guests", "app-users"]
    assert client.get_identity_pool_roles(IdentityPoolId=POOL_ID)["Roles"]["authenticated"].endswith("/app-users")
    device.close()


def test_a_token_issued_to_a_backend_is_accepted_as_a_login(client: Any) -> None:  # noqa: ANN401
    issued = client.get_open_id_token_for_developer_identity(IdentityPoolId=POOL_ID, Logins={DEVELOPER_PROVIDER: "liz"})
    logins = {"cognito-identity.amazonaws.com": issued["Token"]}
    again = client.get_open_id_token(IdentityId=issued["IdentityId"], Logins=logins)
    assert again["IdentityId"] == issued["IdentityId"]
    client.delete_identities(IdentityIdsToDelete=[issued["IdentityId"]])
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_open_id_token(IdentityId=issued["IdentityId"], Logins=logins)


def test_tokend_identities_answers_as_the_api(client: Any, directory: Path, server: ServerProcess) -> None:  # noqa: ANN401
    assert server.aws
    user = register(client, "karl")
    described = client.describe_identity(IdentityId=user)
    described.pop("ResponseMetadata")
    command = ["tokend", "identities", "describe", "--config", "tokend.toml", "--identity-pool-id", POOL_ID, user]
    done = subprocess.run(command, cwd=directory, env=with_commands({}), capture_output=True, text=True, check=True)
    answered = json.loads(done.stdout)
    for date in ("CreationDate", "LastModifiedDate"):
        assert datetime.fromisoformat(answered.pop(date)) == described.pop(date)
    assert answered.pop("Disabled") is False
    assert answered == described


def test_calls_are_counted(client: Any, server: ServerProcess) -> None:  # noqa: ANN401
    def count() -> float:
        metrics = httpx.get(f"{server.ops}/metrics", trust_env=False).text
        return total(metrics, "tokend_aws_calls_total", code="OK", operation="LookupDeveloperIdentity")

    register(client, "grace")
    before = count()
    client.lookup_developer_identity(IdentityPoolId=POOL_ID, DeveloperUserIdentifier="grace")
    assert count() == before + 1


def test_boto3_is_answered_over_tls(
    configuration: str, credentials: Credentials, directory: Path, tmp_path: Path
) -> None:
    certificate = write_certificate(tmp_path)
    files = f"""tls_certificate_file = "{certificate.certificate_file}"
tls_private_key_file = "{certificate.private_key_file}"
"""
    text = configuration.replace("[callers]", f"{files}[callers]")
    with ServerProcess(write_config(tmp_path, text), directory=directory) as server:
        url = server.aws.replace("http://", "https://")
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("NO_PROXY", "127.0.0.1")
            session = boto3.Session(*credentials.values(), region_name="us-east-1")
            client = session.client("cognito-identity", endpoint_url=url, verify=str(certificate.certificate_file))
            assert register(client, "alice") == register(client, "alice")
            client.close()
        metrics = httpx.get(f"{server.ops}/metrics", trust_env=False).text
        assert 'tokend_tls_handshakes_total{listen="127.0.0.1:0"}' in metrics


@contextmanager
def started(configuration: str, directory: Path, tmp_path: Path, clock: FakeClock | None = None) -> Iterator[Service]:
    """Returns the page's service, started in this process."""
    text = configuration.replace('"aws.key"', f'"{directory}/aws.key"')
    service = app.start(load_config(write_config(tmp_path, text)), clock)
    try:
        yield service
    finally:
        service.stop()


def test_a_reload_checks_the_tls_files(configuration: str, directory: Path, tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path)
    files = f"""tls_certificate_file = "{certificate.certificate_file}"
tls_private_key_file = "{certificate.private_key_file}"
"""
    with started(configuration.replace("[callers]", f"{files}[callers]"), directory, tmp_path) as service:

        def stale() -> list[float]:
            metrics = httpx.get(f"http://{service.ops_address}/metrics", trust_env=False).text
            return [sample.value for sample in samples(metrics, "tokend_tls_files_stale")]

        assert stale() == [0]
        certificate.private_key_file.write_bytes(b"garbage")
        service.reload()
        assert stale() == [1]


def test_calls_above_the_concurrency_limit_are_counted_as_aws_calls(
    configuration: str, credentials: Credentials, directory: Path, tmp_path: Path
) -> None:
    """The SLO covers only calls of the contract, and these are not."""
    text = f"{configuration}\n[limits]\nconcurrent_calls = 1\n"
    with started(text, directory, tmp_path) as service, ThreadPoolExecutor(2) as threads:
        session = boto3.Session(*credentials.values(), region_name="us-east-1")
        once = Config(retries={"total_max_attempts": 1}, proxies={})
        client = session.client("cognito-identity", endpoint_url=f"http://{service.aws_address}", config=once)
        with closing(client), closing(sqlite3.connect(tmp_path / "tokend.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # calls that register a user wait
            calls = [threads.submit(register, client, user) for user in ("heidi", "ivan")]
            refused, waiting = wait(calls, return_when=FIRST_COMPLETED)
            other.execute("ROLLBACK")
        assert {type(each.exception()).__name__ for each in refused} == {"TooManyRequestsException"}
        assert [each.exception() for each in waiting] == [None]
        metrics = httpx.get(f"http://{service.ops_address}/metrics", trust_env=False).text
    limits = ("aws_calls", "server_calls")
    assert [total(metrics, "tokend_calls_refused_total", limit=limit) for limit in limits] == [1, 0]
    called = {each.labels["code"]: each.value for each in samples(metrics, "tokend_aws_calls_total") if each.value}
    assert called == {"OK": 1, "TooManyRequestsException": 1}


class RacingClock(FakeClock):
    """A clock that jumps far ahead with each reading."""

    def monotonic(self) -> float:
        self.advance(100)
        return super().monotonic()


def test_readiness_includes_the_aws_listener(configuration: str, directory: Path, tmp_path: Path) -> None:
    def asked(clock: FakeClock) -> tuple[int, str]:
        with started(configuration, directory, tmp_path, clock) as service:
            answer = httpx.get(f"http://{service.ops_address}/readyz", trust_env=False)
            return answer.status_code, answer.text.replace(service.aws_address, "ADDRESS")

    status, text = asked(RacingClock())
    assert status == 503
    assert re.search(r"aws ADDRESS: no call of tokend's own has passed for \d+ s", text)
    assert asked(FakeClock())[0] == 200


def test_the_aws_api_is_not_loaded_unless_it_is_served(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tokend_server.app import start; "
        "from tokend_server.config import load_config; "
        f"service = start(load_config(Path({str(write_config(tmp_path))!r}))); service.stop(); "
        "print([name for name in sys.modules if name.startswith('tokend_server.aws_json')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_page_has_a_valid_configuration_of_open_id_connect_providers() -> None:
    *_, providers = blocks("toml")
    declared = Aws.model_validate(tomllib.loads(providers)["aws"]).open_id_connect_providers
    assert [is_user_pool(name) for name in declared] == [False, True]
