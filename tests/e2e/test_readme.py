"""The commands of README.md, literally except for ports and directories."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jwt
import pytest
from botocore.loaders import Loader
from tests.fakes.clock import FakeClock
from tests.fakes.cognito_upstream import ACCESS_KEY, CognitoUpstream
from tests.support.certificates import write_certificate
from tests.support.server_process import ServerProcess

from tokend_client import Client
from tokend_server import app
from tokend_server.config import Config
from tokend_server.model import Operation

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FREE = "127.0.0.1:0"
PORTS = {"TOKEND_GRPC_LISTEN": FREE, "TOKEND_ISSUER_LISTEN": FREE, "TOKEND_OPS_LISTEN": FREE}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]


def run(command: str, directory: Path, **environment: str) -> str:
    program, *arguments = shlex.split(command.removeprefix("uv run "))
    path = Path(sys.executable).parent / program
    finished = subprocess.run(
        [path, *arguments],
        cwd=directory,
        env={**os.environ, **environment},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return finished.stdout


def command(start: str) -> str:
    (found,) = [line for line in commands() if line.startswith(start)]
    return found


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("readme")
    (directory / "tokend.toml").write_text(blocks("toml")[0], encoding="utf-8")
    return directory


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[ServerProcess]:
    assert command("uv run tokend serve") == "uv run tokend serve --config tokend.toml"
    with ServerProcess(Path("tokend.toml"), PORTS, directory=directory) as server:
        yield server


@pytest.fixture(scope="module")
def answer(directory: Path, server: ServerProcess) -> dict[str, Any]:
    output = run(command("uv run tokendctl"), directory, TOKEND_ENDPOINT=server.endpoint)
    found: dict[str, Any] = json.loads(output)
    return found


def test_every_command_is_followed_here_or_in_ci() -> None:
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    elsewhere = [line for line in commands() if line.startswith("pip install uv")]
    assert all(line in ci for line in elsewhere)
    assert len(commands()) == len(elsewhere) + 5


def test_the_configuration_is_good(directory: Path) -> None:
    assert run(command("uv run tokend check-config --config tokend.toml"), directory).startswith("ok")


def test_check_config_calls_the_cognito_pool(directory: Path) -> None:
    (directory / "cognito.toml").write_text(blocks("toml")[3], encoding="utf-8")
    with CognitoUpstream() as upstream:
        output = run(
            command("uv run tokend check-config --config cognito.toml"),
            directory,
            TOKEND_COGNITO_ENDPOINT_URL=upstream.url,
            AWS_ACCESS_KEY_ID=ACCESS_KEY.aws_access_key_id,
            AWS_SECRET_ACCESS_KEY=ACCESS_KEY.aws_secret_access_key,
        )
    assert output.splitlines()[-1].endswith(": ok, Cognito answers")


def test_the_policy_allows_what_is_called_and_no_more() -> None:
    (statement,) = json.loads(blocks("json")[1])["Statement"]
    assert statement["Action"] == [f"cognito-identity:{operation}" for operation in Operation]
    (identity_pool_id,) = tomllib.loads(blocks("toml")[3])["pools"]
    assert statement["Resource"].endswith(f":identitypool/{identity_pool_id}")


def test_the_aws_command_creates_the_pool_of_the_configuration() -> None:
    (line,) = "".join(blocks("console")).replace("\\\n", " ").splitlines()
    prompt, aws, service, operation, *options = shlex.split(line)
    members = Loader().load_service_model(service, "service-2")["shapes"]["CreateIdentityPoolInput"]["members"]
    named = {
        "".join(map(str.capitalize, re.split("-", option[2:].removeprefix("no-"))))
        for option in options
        if option.startswith("--")
    }
    assert (prompt, aws, operation) == ("$", "aws", "create-identity-pool")
    assert named - {"Region"} <= members.keys()
    (pool,) = tomllib.loads(blocks("toml")[3])["pools"].values()
    assert pool["developer_provider_name"] in options


def test_the_call_is_answered_in_the_shown_form(answer: dict[str, Any]) -> None:
    shown = json.loads(blocks("json")[0])
    assert list(answer) == list(shown)
    assert answer["IdentityId"].split(":")[0] == shown["IdentityId"].split(":")[0]


def verify_of_the_snippet(issuer: str) -> Callable[[str], dict[str, Any]]:
    namespace: dict[str, Any] = {}
    exec(blocks("python")[0].replace("http://127.0.0.1:8080", issuer), namespace)
    verify: Callable[[str], dict[str, Any]] = namespace["verify"]
    return verify


def test_the_python_snippet_verifies_the_token(answer: dict[str, Any], server: ServerProcess) -> None:
    assert verify_of_the_snippet(server.issuer)(answer["Token"])["sub"] == answer["IdentityId"]


@pytest.mark.parametrize(
    ("clock_ahead", "accepted"),
    [
        pytest.param(30, True, id="tokend's clock is ahead"),
        pytest.param(-930, True, id="expired within the grace for clocks"),
        pytest.param(-990, False, id="expired"),
    ],
)
def test_the_python_snippet_tolerates_clock_skew(tmp_path: Path, clock_ahead: int, accepted: bool) -> None:  # noqa: FBT001
    document = tomllib.loads(blocks("toml")[0])
    listening = {name: {"listen": FREE} for name in ("issuer", "ops")}
    config = Config(**document | {"data_dir": tmp_path, "grpc": {"listen": [FREE]}} | listening)
    service = app.start(config, FakeClock(now=time.time() + clock_ahead))
    try:
        (identity_pool_id, pool), *_ = document["pools"].items()
        with Client(service.grpc_addresses[0], plaintext=True) as client:
            token = client.get_open_id_token_for_developer_identity(
                identity_pool_id=identity_pool_id, logins={pool["developer_provider_name"]: "user-4711"}
            ).value
        verify = verify_of_the_snippet(service.issuer)
        with nullcontext() if accepted else pytest.raises(jwt.ExpiredSignatureError):
            assert verify(token)["aud"] == identity_pool_id
    finally:
        service.stop()


def test_the_python_snippet_caches_the_keys(
    answer: dict[str, Any], server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetches = []
    fetch = jwt.PyJWKClient.fetch_data

    def counted(client: jwt.PyJWKClient) -> Any:  # noqa: ANN401 - as the library declares it
        fetches.append(client)
        return fetch(client)

    monkeypatch.setattr(jwt.PyJWKClient, "fetch_data", counted)
    verify = verify_of_the_snippet(server.issuer)
    for _ in range(3):
        verify(answer["Token"])
    assert len(fetches) == 1


def test_the_pool_with_public_logins_is_good(directory: Path) -> None:
    config = directory / "public.toml"
    config.write_text("\n".join([blocks("toml")[0], blocks("toml")[2]]), encoding="utf-8")
    assert run(f"tokend check-config --config {config}", directory).startswith("ok")


def test_the_guarded_configuration_lets_its_caller_in(directory: Path) -> None:
    certificate = write_certificate(directory)
    text = blocks("toml")[1].replace("/etc/tokend/clients.crt", str(certificate.certificate_file))
    text = text.replace("/etc/tokend", str(directory)).replace("/var/log/tokend", str(directory))
    (directory / "guarded.toml").write_text(text, encoding="utf-8")
    explained = json.loads(run(command("uv run tokend policy explain"), directory))
    assert (explained["Decision"], explained["Policy"]) == ("allow", "shop")
