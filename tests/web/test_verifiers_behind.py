"""A server with two verifiers: while one of them has not fetched the next key, that key does not sign."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import jwt
import pytest
from tests.fakes.clock import FakeClock
from tests.support.metric_samples import samples
from tests.support.server_process import DEVELOPER_PROVIDER, POOL_ID, write_config
from tests.support.tokend import done
from tests.support.waiting import wait_until

from tokend.v1.developer_identity_service_pb2 import GetOpenIdTokenForDeveloperIdentityRequest
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server import app
from tokend_server.app import Service
from tokend_server.config import Keys, load_config
from tokend_server.engines.local.stores.sqlite.store import open_store
from tokend_server.web.discovery import JWKS_PATH

ENVOY, GO_OIDC = "envoy", "go-oidc/3"
KEYS = '[keys]\npublish_before = "1d"\nactivate = "when seen"\n'
TIMES = replace(Keys.model_validate({"publish_before": "1d", "activate": "when seen"}).times, refresh=0.02)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path, KEYS)


@pytest.fixture
def clock() -> FakeClock:
    """Starts at the current time, since commands use the machine's clock."""
    return FakeClock(time.time())


@pytest.fixture
def service(config: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(Keys, "times", TIMES)
    running = app.start(load_config(config), clock)
    yield running
    running.stop()


def behind(service: Service) -> float:
    """Returns the value of the metric."""
    text = httpx.get(f"http://{service.ops_address}/metrics").text
    (sample,) = samples(text, "tokend_verifiers_behind")
    return sample.value


def test_a_key_signs_when_the_client_that_was_behind_has_fetched_it(
    service: Service, config: Path, clock: FakeClock
) -> None:
    def fetch(user_agent: str) -> list[str]:
        headers = {"user-agent": user_agent, "x-forwarded-for": "203.0.113.9"}
        answer = httpx.get(service.issuer + JWKS_PATH, headers=headers).raise_for_status()
        return [key["kid"] for key in answer.json()["keys"]]

    def signing() -> str:
        request = GetOpenIdTokenForDeveloperIdentityRequest(
            identity_pool_id=POOL_ID, logins={DEVELOPER_PROVIDER: "alice"}
        )
        token = DeveloperIdentityServiceStub(channel).GetOpenIdTokenForDeveloperIdentity(request, timeout=30).token
        return str(jwt.get_unverified_header(token)["kid"])

    def verifiers(*options: str) -> dict[str, tuple[str, list[str]]]:
        shown = done("keys", "verifiers", *options, "--config", str(config))["Verifiers"]
        return {each["UserAgent"]: (each["Address"], each["BehindOn"]) for each in shown}

    def let_it_act() -> None:
        """Advances the time by five minutes, and waits for the server's periodic task."""
        for _ in range(2):
            clock.advance(301)
            wait_until(lambda: store.fetch_records()[0].noted_at >= int(clock.now()))

    with (
        grpc.insecure_channel(service.grpc_addresses[0]) as channel,
        closing(open_store(config.parent / "tokend.db")) as store,
    ):
        assert store.fetch_records()[0].server.startswith(f"{socket.gethostname()[-27:]}-")
        old = signing()
        for agent in (ENVOY, GO_OIDC):
            assert fetch(agent) == [old]
        (step,) = done("keys", "rotate", "--config", str(config))["Steps"]
        wait_until(lambda: fetch(ENVOY) == [old, step["KeyId"]])
        let_it_act()
        assert verifiers() == {GO_OIDC: ("127.0.0.1", [step["KeyId"]])}
        assert verifiers("--all") == {GO_OIDC: ("127.0.0.1", [step["KeyId"]]), ENVOY: ("127.0.0.1", [])}
        assert list(verifiers("--all")) == [GO_OIDC, ENVOY]
        assert behind(service) == 1
        assert store.signing_keys()[1].signs_from == store.signing_keys()[1].creation_date + 86_400
        assert signing() == old

        fetch(GO_OIDC)
        let_it_act()
        assert verifiers() == {}
        assert behind(service) == 0
        clock.advance(TIMES.about_to_sign)
        wait_until(lambda: signing() == step["KeyId"])
