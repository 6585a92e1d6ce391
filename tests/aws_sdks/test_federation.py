"""The commands of server/federation.md: its configuration issues a token that an independent STS accepts."""

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import botocore.session
import jwt
import pytest
from botocore.exceptions import ClientError
from tests.clients.toolchains import BUILD_TIMEOUT, ROOT
from tests.support.ports import free_port
from tests.support.server_process import ServerProcess
from tests.support.sts import assume_role, independent_sts
from tests.support.tls_terminator import TlsTerminator
from tests.support.tokend import Ended, run
from tests.support.tokendctl import run_tokendctl

from tokend_server.config.federation import RULES

PAGE = (ROOT / "server" / "federation.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def commands(language: str) -> list[list[str]]:
    lines = "".join(blocks(language)).replace("\\\n", " ").splitlines()
    return [shlex.split(line.removeprefix("$ ")) for line in lines]


(TOML,) = blocks("toml")
SETTINGS = tomllib.loads(TOML)
((POOL_ID, _pool),) = SETTINGS["pools"].items()
ISSUER = SETTINGS["issuer"]["url"]
CHECK, GET_TOKEN = commands("sh")
CLOUDS = [word for word in CHECK if word in {*RULES}]


Check = Callable[..., Ended]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    def check(toml: str = TOML) -> Ended:
        path = tmp_path / "tokend.toml"
        path.write_text(toml, encoding="utf-8")
        return run(*(str(path) if word == "tokend.toml" else word for word in CHECK[1:]))

    return check


def test_the_configuration_keeps_the_rules_of_all_clouds(check: Check) -> None:
    assert {*CLOUDS} == {*RULES}
    ended = check()
    assert (ended.returncode, ended.stderr) == (0, "")
    ok, *lines = ended.stdout.splitlines()
    assert ok.startswith("ok: ")
    assert len(lines) == sum(map(len, RULES.values()))


def test_broken_rules_are_problems_of_the_configuration(check: Check) -> None:
    broken = TOML.replace("RS256", "RS512").replace(ISSUER, "http://localhost:8080")
    ended = check(broken)
    assert (ended.returncode, ended.stdout) == (1, "")
    lines = ended.stderr.splitlines()
    assert all(line.startswith("configuration: ") and line.endswith(")") for line in lines)
    for cloud in CLOUDS:
        assert any("issuer.url: must be https" in line and f"({cloud}: https://" in line for line in lines)
    (entra, google) = (line for line in lines if "signing_algorithm" in line)
    assert f'pools."{POOL_ID}".signing_algorithm: must be RS256, and is RS512 (entra' in entra
    assert "must be RS256 or ES256, and is RS512 (google" in google


def test_an_unknown_cloud_is_a_usage_error() -> None:
    ended = run("check-config", "--for", "azure")
    assert ended.returncode == 2
    assert "aws-sts" in ended.stderr


def test_the_table_has_every_rule() -> None:
    table = PAGE.split("\n## The rules\n")[1]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert rows == [
        [cloud, rule.text, "checks" if rule.check else "lists only", f"[page]({rule.source})"]
        for cloud, rules in RULES.items()
        for rule in rules
    ]


def test_the_clouds_trust_the_issuer_and_the_pool() -> None:
    trust, credential = map(json.loads, blocks("json"))
    (statement,) = trust["Statement"]
    host = ISSUER.removeprefix("https://")
    assert statement["Principal"]["Federated"].partition(":oidc-provider/")[2] == host
    conditions = statement["Condition"]["StringEquals"]
    assert conditions.keys() == {f"{host}:aud", f"{host}:sub"}
    assert conditions[f"{host}:aud"] == POOL_ID
    assert (credential["issuer"], credential["audiences"]) == (ISSUER, [POOL_ID])
    assert conditions[f"{host}:sub"] == credential["subject"]
    gcloud = next(words for words in commands("console") if "create-oidc" in words)
    assert {f"--issuer-uri={ISSUER}", f"--allowed-audiences={POOL_ID}"} <= {*gcloud}


def test_the_commands_of_aws_have_options_of_its_model() -> None:
    found = [words for words in commands("console") if words[0] == "aws"]
    assert {words[2] for words in found} == {"create-open-id-connect-provider", "create-role"}
    for _aws, service, operation, *words in found:
        model = botocore.session.get_session().get_service_model(service)
        names = {xform(name): name for name in model.operation_names}
        members = {xform(name) for name in model.operation_model(names[operation]).input_shape.members}
        assert {word.removeprefix("--") for word in words if word.startswith("--")} <= members


def xform(name: str) -> str:
    found: str = botocore.xform_name(name, "-")
    return found


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("federation")
    (directory / "tokend.toml").write_text(TOML, encoding="utf-8")
    return directory


@pytest.fixture(scope="module")
def proxy(directory: Path) -> Iterator[TlsTerminator]:
    """The issuer's address, in place of the page's host, which is not this machine."""
    with TlsTerminator(free_port(), directory) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def answer(directory: Path, proxy: TlsTerminator) -> Iterator[Mapping[str, str]]:
    environment = {
        "TOKEND_GRPC_LISTEN": "127.0.0.1:0",
        "TOKEND_ISSUER_LISTEN": f"127.0.0.1:{proxy.port}",
        "TOKEND_ISSUER_URL": proxy.url,
        "TOKEND_OPS_LISTEN": "127.0.0.1:0",
        "TOKEND_DATA_DIR": str(directory),
    }
    with ServerProcess(directory / "tokend.toml", environment) as server:
        ended = run_tokendctl(GET_TOKEN[1:], {"TOKEND_ENDPOINT": server.endpoint})
        assert ended.exit_code == 0, ended.stderr
        yield json.loads(ended.stdout)


@pytest.mark.timeout(BUILD_TIMEOUT)
def test_an_independent_sts_accepts_the_token_of_an_https_issuer(
    answer: Mapping[str, str], proxy: TlsTerminator, directory: Path
) -> None:
    token = answer["Token"]
    assert jwt.get_unverified_header(token).keys() == {"kid", "typ", "alg"}
    assert {"iss", "aud", "sub", "iat", "exp"} <= jwt.decode(token, options={"verify_signature": False}).keys()
    with independent_sts(directory, proxy.url, POOL_ID, proxy.ca_file) as sts:
        assert assume_role(sts, token)["SubjectFromWebIdentityToken"] == answer["IdentityId"]
        header, claims, signature = token.split(".")
        with pytest.raises(ClientError, match="token signature is invalid"):
            assume_role(sts, f"{header}.{claims}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}")
    targets = {request.target for request in proxy.requests}
    assert "/.well-known/openid-configuration" in targets
    assert "/.well-known/jwks.json" in targets
