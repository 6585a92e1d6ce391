from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TypeAlias

import pytest
from tests.clients.toolchains import BUILD_TIMEOUT
from tests.fakes.cognito_script import Success
from tests.fakes.cognito_upstream import ACCESS_KEY
from tests.fakes.dynamodb_upstream import DynamoDbUpstream
from tests.support.aws_environment import give_credentials, without_aws_settings
from tests.support.dynamodb import PATIENT, dynoxide, moto, table_name, table_url

from tokend_server import config
from tokend_server.engines.local.store import Store
from tokend_server.engines.local.stores.opening import open_migrated_store, open_store

#: Opens a store behind an upstream, with the test's table; the parameters are those of its URL.
Opened: TypeAlias = Callable[..., Store]


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Credentials, and no other AWS settings."""
    without_aws_settings(monkeypatch, tmp_path)
    give_credentials(monkeypatch, ACCESS_KEY)
    return monkeypatch


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with moto() as url:
        yield url


@pytest.fixture
def upstream(moto_url: str) -> Iterator[DynamoDbUpstream]:
    """An upstream in front of moto, which adds the idempotency tokens that moto does not support."""
    with DynamoDbUpstream(moto_url, remembers_tokens=True) as running:
        yield running


@pytest.fixture(scope="session")
def dynoxide_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with dynoxide(tmp_path_factory.mktemp("dynoxide")) as url:
        yield url


@pytest.fixture
def faithful(dynoxide_url: str) -> Iterator[DynamoDbUpstream]:
    """An upstream in front of dynoxide, which supports idempotency tokens and counts capacity units."""
    with DynamoDbUpstream(dynoxide_url, units_from_response=True) as running:
        yield running


@pytest.fixture(params=["upstream", pytest.param("faithful", marks=pytest.mark.timeout(BUILD_TIMEOUT))])
def either(request: pytest.FixtureRequest) -> DynamoDbUpstream:
    """An upstream in front of each double."""
    upstream: DynamoDbUpstream = request.getfixturevalue(request.param)
    return upstream


def configuration(upstream: DynamoDbUpstream, table: str, **parameters: object) -> config.Config:
    """A store with a table behind an upstream; the parameters are those of its URL."""
    return config.Config(store=config.Store(url=table_url(upstream.url, table, **{**PATIENT, **parameters})))


@pytest.fixture
def opened() -> Iterator[Opened]:
    table = table_name()
    with ExitStack() as undo:

        def open_(upstream: DynamoDbUpstream, *, migrated: bool = True, **parameters: object) -> Store:
            configured = configuration(upstream, table, **parameters)
            upstream.always(Success())
            return undo.enter_context(closing((open_migrated_store if migrated else open_store)(configured)))

        yield open_
