from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.python.facades import FACADES, OPTIONS, Facade, patient
from tests.fakes.clock import FakeClock

from tokend_client import Client, TokenRequest, TokenSource
from tokend_client.testing import FakeTokendServer


class Draws:
    """Random numbers set by the test."""

    def __init__(self) -> None:
        self.next = 0.0

    def __call__(self) -> float:
        return self.next


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def draws() -> Draws:
    return Draws()


@pytest.fixture
def server(clock: FakeClock) -> Iterator[FakeTokendServer]:
    with FakeTokendServer(clock=clock, algorithm="ES256") as running:
        yield running


@pytest.fixture(params=FACADES, ids=lambda facade: facade.__name__)
def facade_type(request: pytest.FixtureRequest) -> type[Facade]:
    facade: type[Facade] = request.param
    return facade


@pytest.fixture
def facade(facade_type: type[Facade], server: FakeTokendServer, clock: FakeClock, draws: Draws) -> Iterator[Facade]:
    with facade_type(server.endpoint, patient(clock=clock, random=draws)) as client:
        yield client


@pytest.fixture
def alice(server: FakeTokendServer) -> TokenRequest:
    return TokenRequest(identity_pool_id=server.identity_pool_id, logins={server.developer_provider_name: "alice"})


@pytest.fixture
def source(server: FakeTokendServer, clock: FakeClock, alice: TokenRequest) -> Iterator[TokenSource]:
    with (
        Client(server.endpoint, plaintext=True, options=OPTIONS) as client,
        TokenSource(client, alice, policy=patient(clock=clock)) as source,
    ):
        yield source


@pytest.fixture
def aws_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without AWS settings of this machine, but with a region."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return monkeypatch
