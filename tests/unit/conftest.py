from collections.abc import Iterator

import pytest
from tests.fakes.oidc_provider import OidcProvider
from tests.support.pipes import Pipe, open_pipe

from tokend_server.oidc.outbound import IssuerHttp, open_http


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with open_pipe() as opened:
        yield opened


@pytest.fixture
def http() -> IssuerHttp:
    return open_http()


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running
