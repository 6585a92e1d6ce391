"""README's table of verifiers: each library with its usual setup, and its results for tokens of the real server."""

import itertools
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import grpc
import jwt
import pytest
from tests.clients.toolchains import BUILD_TIMEOUT, ROOT, fail
from tests.support.go_program import go_program
from tests.support.grpc_service import TIMEOUT
from tests.support.java_program import java_program
from tests.support.javascript_program import javascript_program
from tests.support.server_process import ServerProcess, write_config

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub

PROVIDER = "login.example.test"
KINDS = tuple(itertools.product(("RS512", "RS256", "ES256"), ("JWS", "JWT")))
POOLS = {kind: f"eu-west-1:0a1b2c3d-0000-4000-8000-0000000000{number:02x}" for number, kind in enumerate(KINDS)}
SOURCES = Path(__file__).parent

#: A verifier's verdicts on tokens: the reason of each rejection, empty for an accepted token.
Verdicts: TypeAlias = Mapping[str, str]

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    pools = "".join(
        f'[pools."{POOLS[algorithm, token_type]}"]\ndeveloper_provider_name = "{PROVIDER}"\n'
        f'signing_algorithm = "{algorithm}"\ntoken_type = "{token_type}"\n'
        for algorithm, token_type in KINDS
    )
    with ServerProcess(write_config(tmp_path_factory.mktemp("verifiers"), pools)) as running:
        yield running


@pytest.fixture(scope="module")
def tokens(server: ServerProcess) -> Mapping[str, Mapping[str, str]]:
    """Tokens by name, with the audience to check them for: valid ones, and an invalid one of every kind for each."""
    named = {}
    with grpc.insecure_channel(server.endpoint) as channel:
        stub = DeveloperIdentityServiceStub(channel)
        for (algorithm, token_type), pool in POOLS.items():
            request = pb.GetOpenIdTokenForDeveloperIdentityRequest(identity_pool_id=pool, logins={PROVIDER: "alice"})
            token = stub.GetOpenIdTokenForDeveloperIdentity(request, timeout=TIMEOUT).token
            assert jwt.get_unverified_header(token)["typ"] == token_type
            header, claims, signature = token.split(".")
            named[f"{algorithm} {token_type}"] = {"audience": pool, "token": token}
            named[f"{algorithm} {token_type} for another audience"] = {"audience": "another", "token": token}
            altered = f"{header}.{claims}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
            named[f"{algorithm} {token_type} altered"] = {"audience": pool, "token": altered}
    return named


@pytest.fixture(scope="module")
def question(server: ServerProcess, tokens: Mapping[str, Mapping[str, str]]) -> str:
    return json.dumps({"issuer": server.issuer, "tokens": tokens})


def answered(command: list[str], directory: Path, question: str) -> dict[str, Verdicts]:
    """Returns the output of a program for a question."""
    process = subprocess.run(
        command, cwd=directory, input=question, stdout=subprocess.PIPE, encoding="utf-8", check=False
    )
    if process.returncode:
        fail(command, process.stdout)
    verdicts: dict[str, Verdicts] = json.loads(process.stdout)
    return verdicts


def accepted_types(verdicts: Verdicts) -> set[str]:
    """Returns the token types that a verifier accepts, with any algorithm; it must reject every invalid token."""
    accepted = {name for name, rejected in verdicts.items() if not rejected}
    types = {name.split()[1] for name in accepted}
    assert accepted == {f"{algorithm} {token_type}" for algorithm, token_type in KINDS if token_type in types}, verdicts
    return types


def documented(verifier: str) -> set[str]:
    """Returns the token types that a verifier accepts according to README."""
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("| verifier |", 1)[1].split("\n\n", 1)[0]
    (row,) = [line for line in table.splitlines() if re.match(rf"\| {re.escape(verifier)} \|", line)]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    return {token_type for token_type, cell in zip(("JWS", "JWT"), cells[-2:], strict=True) if cell == "yes"}


def test_go_oidc_accepts_the_documented_token_types(question: str, tmp_path: Path) -> None:
    program = go_program(tmp_path / "verifier", SOURCES / "go", "go-oidc")
    verdicts = answered([str(program)], tmp_path, question)
    assert accepted_types(verdicts["go-oidc"]) == documented("go-oidc")


def test_jose_accepts_the_documented_token_types(question: str, tmp_path: Path) -> None:
    command = javascript_program(SOURCES / "javascript", "verify.js", "jose")
    verdicts = answered(command, tmp_path, question)
    assert accepted_types(verdicts["jose"]) == documented("jose (JavaScript)")


def test_spring_security_and_nimbus_accept_the_documented_token_types(question: str, tmp_path: Path) -> None:
    command = java_program(SOURCES / "java", "verifier.Main", "Spring Security")
    verdicts = answered(command, tmp_path, question)
    assert {verifier: accepted_types(each) for verifier, each in verdicts.items()} == {
        "Nimbus": documented("Nimbus `DefaultJWTProcessor`"),
        "Nimbus, JWS allowed": documented(
            'Nimbus with `setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("JWS")))`'
        ),
        "Spring Security": documented("Spring Security `NimbusJwtDecoder`"),
        "Spring Security, JWS allowed": documented(
            'Spring Security with `validateType(false)` and `new JwtTypeValidator("JWS")` among its validators'
        ),
    }


def test_pyjwt_accepts_the_documented_token_types(
    server: ServerProcess, tokens: Mapping[str, Mapping[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    keys = jwt.PyJWKClient(f"{server.issuer}/.well-known/jwks.json")

    def why_rejected(audience: str, token: str) -> str:
        key = keys.get_signing_key_from_jwt(token)
        try:
            jwt.decode(token, key, algorithms=[key.algorithm_name], issuer=server.issuer, audience=audience)
        except jwt.InvalidTokenError as error:
            return repr(error)
        return ""

    assert accepted_types({name: why_rejected(**each) for name, each in tokens.items()}) == documented("PyJWT")
