from collections.abc import Iterator
from contextlib import ExitStack

import grpc
import httpx
import pytest
from tests.support.server_process import ServerProcess
from tests.web.http_pages import Pages, Start, serving
from tests.web.in_process import PROVIDER, GetToken, start_service

from tokend.v1.developer_identity_service_pb2 import (
    GetOpenIdTokenForDeveloperIdentityRequest,
    GetOpenIdTokenForDeveloperIdentityResponse,
)
from tokend.v1.developer_identity_service_pb2_grpc import DeveloperIdentityServiceStub
from tokend_server.app import Service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = start_service(tmp_path_factory.mktemp("service"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def get_token() -> Iterator[GetToken]:
    with ExitStack() as channels:
        stubs: dict[str, DeveloperIdentityServiceStub] = {}

        def get(
            endpoint: str, identity_pool_id: str, user: str, metadata: tuple[tuple[str, str], ...] = ()
        ) -> GetOpenIdTokenForDeveloperIdentityResponse:
            if endpoint not in stubs:
                channel = channels.enter_context(grpc.insecure_channel(endpoint))
                stubs[endpoint] = DeveloperIdentityServiceStub(channel)
            return stubs[endpoint].GetOpenIdTokenForDeveloperIdentity(
                GetOpenIdTokenForDeveloperIdentityRequest(identity_pool_id=identity_pool_id, logins={PROVIDER: user}),
                timeout=30,
                metadata=metadata,
            )

        yield get


@pytest.fixture(params=["at the root", "below a path"])
def issuer(request: pytest.FixtureRequest, service: Service, tokend: ServerProcess) -> str:
    """The issuer's URL: of the server without a setting, and of one with a path."""
    return tokend.issuer if request.param == "at the root" else service.issuer


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
def start(pages: Pages) -> Iterator[Start]:
    """Starts listeners with the pages of the tests."""
    with ExitStack() as running:
        yield lambda **settings: running.enter_context(serving(pages.by_path, **settings))
