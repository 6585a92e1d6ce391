"""jwt_authn.yaml in front of an application: only requests with the real server's tokens pass."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import httpx
import jwt
import pytest
from tests.envoy.examples import Envoy, example
from tests.support.grpc_service import TIMEOUT
from tests.support.server_process import ServerProcess, write_config

from tokend.v1 import developer_identity_service_pb2 as pb
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server.clock import Deadline, SystemClock
from tokend_server.config import KeyTimes, load_config
from tokend_server.engines.local.keys.jws import TokenType
from tokend_server.engines.local.keys.keyring import SigningAlgorithm
from tokend_server.engines.local.keys.signer import TokenSigner
from tokend_server.engines.local.keys.stored_keys import StoredKeys
from tokend_server.engines.local.stores.opening import open_migrated_store

PROVIDER = "login.example.test"
POOLS = {
    kind: f"eu-west-1:0a1b2c3d-0000-4000-8000-0000000000{number:02x}"
    for number, kind in enumerate(("RS512 JWS", "RS512 JWT", "RS256 JWS", "ES256 JWS", "ES256 JWT"))
}
TAGS = {"department": "engineering", "größe": "42"}

#: Changes claims.
Change: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

#: Envoy's own grace for clocks, in seconds.
SKEW = 60


class App(BaseHTTPRequestHandler):
    """Responds with the request headers that it received."""

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name is the base class's
        """Logs nothing."""


@pytest.fixture(scope="module")
def app_port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), App) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pools = "".join(
        f'[pools."{pool}"]\ndeveloper_provider_name = "{PROVIDER}"\n'
        f'signing_algorithm = "{kind.split()[0]}"\ntoken_type = "{kind.split()[1]}"\n'
        for kind, pool in POOLS.items()
    )
    return write_config(tmp_path_factory.mktemp("issuer"), pools)


@pytest.fixture(scope="module")
def server(config: Path) -> Iterator[ServerProcess]:
    with ServerProcess(config) as running:
        yield running


@pytest.fixture(scope="module", params=POOLS)
def kind(request: pytest.FixtureRequest) -> str:
    """Returns the algorithm and the type of the tokens."""
    return str(request.param)


@pytest.fixture(scope="module")
def envoy(kind: str, server: ServerProcess, app_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    issuer = server.issuer.removeprefix("http://")
    values = {
        "127.0.0.1:8080": issuer,
        "port_value: 8080": f"port_value: {issuer.partition(':')[2]}",
        "eu-west-1:3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f": POOLS[kind],
        "port_value: 10000": "port_value: 0",
        "port_value: 3000": f"port_value: {app_port}",
    }
    with Envoy(example("jwt_authn.yaml", values), tmp_path_factory.mktemp("envoy")) as running:
        yield running


@pytest.fixture
def get(envoy: Envoy) -> Iterator[Callable[..., httpx.Response]]:
    """Makes a request to the application through Envoy, with a token if one is given."""
    with httpx.Client(trust_env=False, base_url=f"http://{envoy.address}", timeout=TIMEOUT) as client:

        def send(token: str | None = None, **headers: str) -> httpx.Response:
            authorization = {} if token is None else {"authorization": f"Bearer {token}"}
            return client.get("/", headers={**headers, **authorization})

        yield send


def issued(server: ServerProcess, kind: str) -> pb.GetOpenIdTokenForDeveloperIdentityResponse:
    """Returns a token of the real server, with tags."""
    request = pb.GetOpenIdTokenForDeveloperIdentityRequest(
        identity_pool_id=POOLS[kind], logins={PROVIDER: "alice"}, principal_tags=TAGS
    )
    with grpc.insecure_channel(server.endpoint) as channel:
        return DeveloperIdentityServiceStub(channel).GetOpenIdTokenForDeveloperIdentity(request, timeout=TIMEOUT)


@pytest.fixture
def resigned(config: Path, server: ServerProcess, kind: str) -> Callable[[Change], str]:
    """Returns a token of the real server with other claims, signed again with the server's key."""

    algorithm, token_type = kind.split()

    def sign(change: Change) -> str:
        claims = jwt.decode(issued(server, kind).token, options={"verify_signature": False})
        with closing(open_migrated_store(load_config(config))) as store:
            signer = TokenSigner(store, StoredKeys(), SystemClock(), KeyTimes())
            signer.refresh()
            signed = signer.sign(
                {**claims, **change(claims)},
                SigningAlgorithm(algorithm),
                TokenType(token_type),
                Deadline(SystemClock()),
            )
            return signed.token.reveal()

    return sign


def part(token: str, number: int) -> bytes:
    text = token.split(".")[number]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def with_part(token: str, number: int, content: bytes) -> str:
    parts = token.split(".")
    parts[number] = base64.urlsafe_b64encode(content).rstrip(b"=").decode()
    return ".".join(parts)


def test_a_token_is_accepted(get: Callable[..., httpx.Response], server: ServerProcess, kind: str) -> None:
    token = issued(server, kind)
    header = jwt.get_unverified_header(token.token)
    assert f"{header['alg']} {header['typ']}" == kind
    answer = get(token.token)
    assert answer.status_code == httpx.codes.OK
    assert answer.json()["x-identity-id"] == token.identity_id


def test_the_application_sees_neither_the_token_nor_a_forged_identity(
    get: Callable[..., httpx.Response], server: ServerProcess, kind: str
) -> None:
    token = issued(server, kind)
    seen = get(token.token, **{"x-identity-id": "forged"}).json()
    assert seen["x-identity-id"] == token.identity_id
    assert token.token not in json.dumps(seen)


@pytest.mark.parametrize("token", [None, "no-token", "a.b.c", "e30.e30.c2ln"])
def test_a_missing_or_malformed_token_is_rejected(get: Callable[..., httpx.Response], token: str | None) -> None:
    assert get(token).status_code == httpx.codes.UNAUTHORIZED


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda token: with_part(token, 1, part(token, 1).replace(b"alice", b"mallo")), id="claims"),
        pytest.param(
            lambda token: with_part(token, 2, bytes([part(token, 2)[0] ^ 1]) + part(token, 2)[1:]), id="signature"
        ),
        pytest.param(lambda token: token.rpartition(".")[0] + ".", id="no signature"),
        pytest.param(
            lambda token: with_part(token, 0, b'{"typ":"JWS","alg":"none"}').rpartition(".")[0] + ".", id="alg none"
        ),
    ],
)
def test_an_altered_token_is_refused(
    get: Callable[..., httpx.Response], server: ServerProcess, kind: str, change: Callable[[str], str]
) -> None:
    token = issued(server, kind).token
    altered = change(token)
    assert altered != token
    assert get(altered).status_code == httpx.codes.UNAUTHORIZED


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda _claims: {}, httpx.codes.OK),
        (lambda claims: {"exp": claims["iat"] - SKEW - 1}, httpx.codes.UNAUTHORIZED),
        (lambda claims: {"aud": claims["aud"][:-1] + "f"}, httpx.codes.FORBIDDEN),
        (lambda _claims: {"iss": "https://other.example.test"}, httpx.codes.UNAUTHORIZED),
        (lambda claims: {"iss": claims["iss"] + "/"}, httpx.codes.UNAUTHORIZED),
    ],
    ids=["its own", "expired", "other audience", "other issuer", "issuer with a slash"],
)
def test_a_correctly_signed_token_is_accepted_only_with_valid_claims(
    get: Callable[..., httpx.Response], resigned: Callable[[Change], str], change: Change, status: int
) -> None:
    assert get(resigned(change)).status_code == status


def test_a_user_of_another_pool_is_refused(
    get: Callable[..., httpx.Response], server: ServerProcess, kind: str
) -> None:
    others = [issued(server, other).token for other in POOLS if other != kind]
    assert [get(token).status_code for token in others] == [httpx.codes.FORBIDDEN] * len(others)


def test_the_keys_were_fetched_once(get: Callable[..., httpx.Response], envoy: Envoy) -> None:
    for _ in range(10):
        get("e30.e30.c2ln")
    assert envoy.counter("http.app.jwt_authn.jwks_fetch_success") == 1
