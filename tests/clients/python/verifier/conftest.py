from collections.abc import Iterator

import pytest
from tests.clients.python.verifier.issuer import POOL
from tests.fakes.oidc_provider import OidcProvider

from tokend_client.verifier import TokenVerifier


@pytest.fixture
def issuer() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running


@pytest.fixture
def verifier(issuer: OidcProvider) -> TokenVerifier:
    return TokenVerifier(issuer.issuer, [POOL])
