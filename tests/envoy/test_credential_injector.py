"""credential_injector.yaml as a calling service's sidecar: each request has the token that tokend pushed."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from tests.envoy.examples import TIMEOUT, Envoy, example
from tests.fakes.clock import FakeClock
from tests.support.authority import Authority
from tests.support.metric_samples import total
from tests.support.ports import free_port
from tests.support.tokend import run
from tests.support.waiting import wait_until

from tokend_server import app
from tokend_server.app import Service
from tokend_server.config import Config

HOST = "127.0.0.1"
POOL_ID = "us-east-1:0a1b2c3d-0000-4000-8000-00000000000a"
CALLER = "spiffe://acme.internal/ns/shop/sa/checkout"
TOKEN = "checkout-token"
REFRESH = 300


class _App(BaseHTTPRequestHandler):
    """Responds with the request headers that it received."""

    def do_GET(self) -> None:
        body = json.dumps([[name.lower(), value] for name, value in self.headers.items()]).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Logs nothing."""


@dataclass
class Place:
    """A tokend that can be restarted, with a clock that moves only when a test moves it.

    Attributes:
        directory: Its files.
        port: The port of the secrets.
        upstream: The port of the called service.
    """

    directory: Path
    port: int
    upstream: int
    clock: FakeClock = field(default_factory=lambda: FakeClock(time.time()))
    callers: tuple[str, ...] = (CALLER,)
    _service: Service | None = None

    def __post_init__(self) -> None:
        servers, clients = Authority("servers"), Authority("clients")
        server, caller = servers.server(HOST), clients.client(uris=[CALLER])
        for name, content in {
            "tls.crt": server.certificate,
            "tls.key": server.private_key,
            "servers.crt": servers.certificate,
            "clients.crt": clients.certificate,
            "caller.crt": caller.certificate,
            "caller.key": caller.private_key,
        }.items():
            (self.directory / name).write_bytes(content)

    @property
    def config_file(self) -> Path:
        """Returns a configuration for commands about the keys."""
        path = self.directory / "tokend.toml"
        pool = f'[pools."{POOL_ID}"]\ndeveloper_provider_name = "login.example"\nsigning_algorithm = "ES256"\n'
        path.write_text(f'data_dir = "{self.directory}"\n{pool}', encoding="utf-8")
        return path

    def start(self) -> None:
        config: dict[str, Any] = {
            "data_dir": self.directory,
            "grpc": {"listen": [f"{HOST}:0"], "threads": 2, "drain_grace_seconds": 5},
            "issuer": {"listen": f"{HOST}:0"},
            "ops": {"listen": f"{HOST}:0"},
            "policy": {
                "shop": {
                    "callers": [*self.callers, "anonymous"],
                    "pools": [POOL_ID],
                    "operations": ["GetOpenIdTokenForDeveloperIdentity"],
                }
            },
            "sds": {
                "listen": [f"{HOST}:{self.port}"],
                "tls_certificate_file": self.directory / "tls.crt",
                "tls_private_key_file": self.directory / "tls.key",
                "tls_client_ca_file": self.directory / "clients.crt",
                "identify_by": ["mutual_tls"],
                "tokens": {TOKEN: {"identity_pool_id": POOL_ID}},
            },
            "pools": {POOL_ID: {"developer_provider_name": "login.example", "signing_algorithm": "ES256"}},
        }
        self._service = app.start(Config(**config), self.clock)

    def stop(self) -> None:
        if self._service:
            self._service.stop()
            self._service = None

    def failures(self) -> float:
        """Returns how many tokens could not be issued since the start."""
        assert self._service
        text = httpx.get(f"http://{self._service.ops_address}/metrics", trust_env=False).text
        return total(text, "tokend_sds_tokens_total", outcome="failed")

    def envoy(self, directory: Path, api_type: str) -> Envoy:
        directory.mkdir()
        values = {
            "port_value: 15001": "port_value: 0",
            "port_value: 50061": f"port_value: {self.port}",
            "port_value: 8080": f"port_value: {self.upstream}",
            "{ san_type: DNS, matcher: { exact: tokend.acme.internal } }": (
                f"{{ san_type: IP_ADDRESS, matcher: {{ exact: {HOST} }} }}"
            ),
            "/etc/envoy/": f"{self.directory}/",
            "api_type: DELTA_GRPC": f"api_type: {api_type}",
            "initial_fetch_timeout: 5s": "initial_fetch_timeout: 1s",
            "base_interval: 0.5s, max_interval: 5s": "base_interval: 0.1s, max_interval: 0.5s",
        }
        return Envoy(example("credential_injector.yaml", values), directory)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with ThreadingHTTPServer((HOST, 0), _App) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        port = free_port()
        place = Place(tmp_path_factory.mktemp("tokend"), port, server.server_port)
        place.start()
        yield place
        place.stop()
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module", params=["DELTA_GRPC", "GRPC"])
def envoy(place: Place, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Envoy]:
    with place.envoy(tmp_path_factory.mktemp("envoy") / request.param, request.param) as running:
        yield running


def authorization(envoy: Envoy, headers: dict[str, str] | None = None) -> list[str]:
    """Makes a request, and returns the `authorization` header that reached the called service."""
    response = httpx.get(f"http://{envoy.address}/", headers=headers, trust_env=False, timeout=TIMEOUT)
    assert response.status_code == HTTPStatus.OK
    return [value for name, value in response.json() if name == "authorization"]


def token(envoy: Envoy) -> str:
    (value,) = authorization(envoy)
    scheme, _, text = value.partition(" ")
    assert scheme == "Bearer"
    return text


def claims(text: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(text, options={"verify_signature": False})
    return decoded


def key_id(envoy: Envoy) -> str:
    found: str = jwt.get_unverified_header(token(envoy))["kid"]
    return found


def wait_for_another(envoy: Envoy, before: str) -> str:
    wait_until(lambda: token(envoy) != before)
    return token(envoy)


def test_requests_carry_the_services_own_token(envoy: Envoy) -> None:
    assert claims(token(envoy))["amr"][-1] == f"login.example:{POOL_ID}:{CALLER}"


def test_the_services_own_header_is_replaced(envoy: Envoy) -> None:
    (value,) = authorization(envoy, {"authorization": "Bearer of-another"})
    assert value == f"Bearer {token(envoy)}"


def test_a_token_is_replaced_before_its_refresh_time(place: Place, envoy: Envoy) -> None:
    before = token(envoy)
    place.clock.advance(REFRESH - 1)
    after = wait_for_another(envoy, before)
    assert claims(before)["iat"] < claims(after)["iat"] < claims(before)["iat"] + REFRESH
    assert claims(after)["sub"] == claims(before)["sub"]


def test_a_key_that_was_taken_away_signs_no_request_any_more(place: Place, envoy: Envoy) -> None:
    before = key_id(envoy)
    ended = run("keys", "rotate", "--compromised", before, "--config", str(place.config_file))
    assert ended.returncode == 0, ended.stderr

    def has_another_key() -> bool:
        place.clock.advance(1)  # within which seconds it is replaced is a matter of the clock
        return key_id(envoy) != before

    wait_until(has_another_key)


def test_a_restart_of_tokend_is_survived(place: Place, envoy: Envoy) -> None:
    before = token(envoy)
    place.stop()
    assert token(envoy) == before
    place.clock.advance(1)
    place.start()
    after = wait_for_another(envoy, before)
    assert claims(after)["sub"] == claims(before)["sub"]


def test_a_caller_that_loses_its_permission_keeps_its_last_token(place: Place, envoy: Envoy) -> None:
    before = token(envoy)
    place.stop()
    place.callers = ("spiffe://acme.internal/ns/shop/sa/another",)
    place.start()
    wait_until(lambda: place.failures() > 0)
    assert token(envoy) == before
    place.stop()
    place.callers = (CALLER,)
    place.start()
    wait_for_another(envoy, before)


def test_requests_get_401_until_there_is_a_token(place: Place, tmp_path: Path) -> None:
    port = free_port()
    nothing = Place(tmp_path, port, place.upstream)
    with nothing.envoy(tmp_path / "envoy", "DELTA_GRPC") as alone:
        answer = httpx.get(f"http://{alone.address}/", trust_env=False, timeout=TIMEOUT)
        assert answer.status_code == HTTPStatus.UNAUTHORIZED
        nothing.start()
        try:
            wait_until(lambda: httpx.get(f"http://{alone.address}/", trust_env=False).status_code == HTTPStatus.OK)
        finally:
            nothing.stop()
