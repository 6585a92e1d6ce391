from collections.abc import Iterator

import pytest
from tests.access.house import Credentials, House, open_house
from tests.fakes.oidc_provider import OidcProvider


@pytest.fixture(scope="session")
def oidc_provider() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running


@pytest.fixture(scope="session")
def credentials(oidc_provider: OidcProvider) -> Credentials:
    return Credentials(oidc_provider)


@pytest.fixture(scope="session")
def house(
    credentials: Credentials, oidc_provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("house"), credentials, oidc_provider) as running:
        yield running


@pytest.fixture(scope="session")
def reticent_house(
    credentials: Credentials, oidc_provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """The same, but for health being told to none but identified callers."""
    directory = tmp_path_factory.mktemp("reticent")
    with open_house(directory, credentials, oidc_provider, health="identified") as running:
        yield running
