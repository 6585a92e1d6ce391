from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.oidc_provider import OidcProvider
from tests.support.local_engine import LocalEngineUnderTest
from tests.support.pipes import Pipe, open_pipe

from tokend_server.oidc.outbound import IssuerHttp


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalEngineUnderTest]:
    under_test = LocalEngineUnderTest(tmp_path)
    yield under_test
    under_test.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with open_pipe() as opened:
        yield opened


@pytest.fixture
def http() -> IssuerHttp:
    return IssuerHttp()


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with OidcProvider() as running:
        yield running
