from collections.abc import Iterator

import pytest
from tests.clients.python.twins import TWINS, Twin
from tests.fakes.clock import FakeClock

from tokend_client import CachingPolicy, TokenRequest
from tokend_client.testing import FakeTokendServer


class Draws:
    """Randomness in the test's hands."""

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
    with FakeTokendServer(clock=clock) as running:
        yield running


@pytest.fixture(params=TWINS, ids=lambda twin: twin.__name__)
def twin_type(request: pytest.FixtureRequest) -> type[Twin]:
    twin: type[Twin] = request.param
    return twin


@pytest.fixture
def twin(twin_type: type[Twin], server: FakeTokendServer, clock: FakeClock, draws: Draws) -> Iterator[Twin]:
    with twin_type(server.endpoint, CachingPolicy(clock=clock, random=draws)) as client:
        yield client


@pytest.fixture
def alice(server: FakeTokendServer) -> TokenRequest:
    return TokenRequest(identity_pool_id=server.identity_pool_id, logins={server.developer_provider_name: "alice"})
