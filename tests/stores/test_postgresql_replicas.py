"""Four servers on one PostgreSQL: they agree on each user, and survive an outage of the store."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from time import monotonic, sleep

import grpc
import httpx
import pytest
from tests.stores.opened import BACK_WITHIN
from tests.support.calls import Caller
from tests.support.postgresql import PostgresqlServer, own_server, run_directory
from tests.support.server_process import ServerProcess, write_config

REPLICAS = 4


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresqlServer]:
    with own_server(run_directory(tmp_path_factory)) as server:
        yield server


@pytest.fixture(scope="module")
def replicas(postgresql: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ServerProcess]]:
    """Servers that have started concurrently on an empty store."""
    config = write_config(tmp_path_factory.mktemp("replicas"))
    store = {"TOKEND_STORE_URL": postgresql.new_schema()}
    with ExitStack() as running, ThreadPoolExecutor(REPLICAS) as threads:
        started = threads.map(lambda _: ServerProcess(config, store), range(REPLICAS))
        yield [running.enter_context(each) for each in started]


@pytest.fixture
def callers(replicas: Sequence[ServerProcess]) -> Iterator[list[Caller]]:
    with ExitStack() as undo:
        yield [undo.enter_context(closing(Caller(each))) for each in replicas]


def test_two_hundred_first_calls_at_once_for_one_user_get_one_id(callers: Sequence[Caller]) -> None:
    with ThreadPoolExecutor(40) as threads:
        issued = list(threads.map(lambda number: callers[number % REPLICAS].get_token("u"), range(200)))
    assert len({each.identity_id for each in issued}) == 1


def test_all_servers_publish_the_same_keys(callers: Sequence[Caller], replicas: Sequence[ServerProcess]) -> None:
    del callers
    published = [httpx.get(f"{each.issuer}/.well-known/jwks.json").json() for each in replicas]
    assert published == [published[0]] * REPLICAS


def test_an_outage_of_the_store_makes_servers_not_ready_and_restarts_none(
    callers: Sequence[Caller], replicas: Sequence[ServerProcess], postgresql: PostgresqlServer
) -> None:
    known = callers[0].get_token("known").identity_id
    postgresql.kill()
    for each in callers:
        with pytest.raises(grpc.RpcError) as failed:
            each.get_token("known", timeout=2)
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
    assert [httpx.get(f"{each.ops}/readyz").status_code for each in replicas] == [503] * REPLICAS
    assert [httpx.get(f"{each.ops}/livez").status_code for each in replicas] == [200] * REPLICAS
    postgresql.start()
    for replica in replicas:
        until = monotonic() + BACK_WITHIN
        while httpx.get(f"{replica.ops}/readyz").status_code != 200:
            assert monotonic() < until
            sleep(0.1)
    assert [each.get_token("known").identity_id for each in callers] == [known] * REPLICAS
