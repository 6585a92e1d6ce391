from collections.abc import Iterator

import pytest
from tests.access.guarded_service import Credentials, GuardedService, serve_guarded
from tests.fakes.oidc_provider import OidcProvider


@pytest.fixture(scope="session")
def oidc_provider() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running


@pytest.fixture(scope="session")
def credentials(oidc_provider: OidcProvider) -> Credentials:
    return Credentials(oidc_provider)


@pytest.fixture(scope="session")
def guarded(
    credentials: Credentials, oidc_provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedService]:
    with serve_guarded(tmp_path_factory.mktemp("guarded"), credentials, oidc_provider) as running:
        yield running


@pytest.fixture(scope="session")
def reticent(
    credentials: Credentials, oidc_provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedService]:
    """The same, except that only identified callers get the health."""
    directory = tmp_path_factory.mktemp("reticent")
    with serve_guarded(directory, credentials, oidc_provider, health="identified") as running:
        yield running
