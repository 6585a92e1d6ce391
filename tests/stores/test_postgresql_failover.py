"""A replica replaces its primary: acknowledged changes are there, and servers reconnect to it."""

import threading
from collections.abc import Iterator
from itertools import count

import pytest
from tests.contracts.store_contract import POOL, identity, login
from tests.stores.opened import Opened, create, deadline_in, owner, until_back
from tests.support.postgresql import PostgresqlServer, own_server, replica_of, run_directory

from tokend_server.errors import EngineUnavailable


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PostgresqlServer, PostgresqlServer]]:
    run = run_directory(tmp_path_factory)
    with own_server(run) as primary, replica_of(run, primary) as replica:
        yield primary, replica


def test_acknowledged_commits_survive_a_failover(
    pair: tuple[PostgresqlServer, PostgresqlServer], opened: Opened
) -> None:
    primary, replica = pair
    both = f"127.0.0.1:{primary.port},127.0.0.1:{replica.port}"
    store = opened(primary.new_schema().replace(f"127.0.0.1:{primary.port}", both))
    acknowledged: list[int] = []
    enough, ended = threading.Event(), threading.Event()

    def write() -> None:
        for number in count():
            if ended.is_set():
                return
            try:
                create(store, identity(f"{number:05}", f"x{number}"), deadline_in(2))
            except EngineUnavailable:
                continue
            acknowledged.append(number)
            if len(acknowledged) >= 20:
                enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert enough.wait(60)
    primary.kill()
    replica.execute("SELECT pg_promote()")
    until_back(store.check)
    ended.set()
    writer.join()
    create(store, identity("after", "after"))
    found = store.owners(POOL, [login(f"x{number}") for number in acknowledged])
    assert found == [f"eu-west-1:{number:05}" for number in acknowledged]
    assert owner(store, "after") == "eu-west-1:after"
