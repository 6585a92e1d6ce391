"""server/running-more-than-one.md followed to the letter, but for the place of the database."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest
from tests.support.calls import Caller
from tests.support.postgresql import PostgresqlServer, own_server, run_directory
from tests.support.server_process import ServerProcess
from tests.support.tokend import run

from tokend_server.clock import Deadline, SystemClock
from tokend_server.config import Config, Store
from tokend_server.engines.local.store import Change
from tokend_server.engines.local.stores.opening import open_migrated_store
from tokend_server.model import Identity, Login, Secret

PAGE = (Path(__file__).parents[2] / "server" / "running-more-than-one.md").read_text(encoding="utf-8")
FREE = "127.0.0.1:0"
POOL = "eu-west-1:11111111-2222-3333-4444-555555555555"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresqlServer]:
    with own_server(run_directory(tmp_path_factory)) as server:
        yield server


def execute(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in filter(None, (each.strip() for each in statements.split(";"))):
            connection.execute(statement.encode())


def _registered_on(database: Path, user: str) -> str:
    """The id of a user who is registered with the database that was used before."""
    with closing(open_migrated_store(Config(store=Store(url=f"sqlite:///{database}")))) as store:
        login = Login("login.example.internal", Secret(user))
        before = Identity("eu-west-1:0000abcd-0000-4000-8000-000000000000", POOL, 1, 1, frozenset({login}))
        store.commit(Change(None, before), deadline=Deadline(SystemClock()))
    return before.identity_id


def test_the_page_leads_to_two_servers_with_one_truth(server: PostgresqlServer, tmp_path: Path) -> None:
    make, grant = blocks("sql")
    (toml,) = blocks("toml")
    migrate, serve, (copy,) = (block.splitlines() for block in blocks("sh"))
    assert (migrate, serve) == (["tokend migrate"], ["tokend check-config", "tokend serve"])
    before = tmp_path / "tokend.db"
    known = _registered_on(before, "known")
    (tmp_path / "password").write_text("choose another\n")
    config = tmp_path / "tokend.toml"
    place = "db.example.internal/tokend?sslmode=verify-full&sslrootcert=/etc/tokend/db-ca.pem"
    config.write_text(
        toml.replace(place, f"127.0.0.1:{server.port}/tokend").replace(
            "/etc/tokend/db-password", f"{tmp_path}/password"
        )
    )
    owner = f"postgresql://tokend_owner@127.0.0.1:{server.port}/tokend"
    execute(server.url, make)
    environment = {"TOKEND_CONFIG": str(config)}
    assert "run `tokend migrate`" in run("keys", "list", **environment).stderr
    assert run("migrate", **environment, TOKEND_STORE_URL=owner).stdout == "applied: 0001, 0002, 0003\n"
    execute(owner, grant)
    assert f"store postgresql://127.0.0.1:{server.port}/tokend" in run("check-config", **environment).stdout
    assert "tokend.toml" in copy
    copy = copy.replace("/var/lib/tokend/tokend.db", str(before)).replace("tokend.toml", str(config))
    copied = run(*copy.split()[1:])
    assert "identities: 1 created" in copied.stdout, copied.stderr
    free = dict.fromkeys(("TOKEND_GRPC_LISTEN", "TOKEND_ISSUER_LISTEN", "TOKEND_OPS_LISTEN"), FREE)
    with ExitStack() as running:
        servers = [running.enter_context(ServerProcess(config, free)) for _ in range(2)]
        for each in servers:
            each.identity_pool_id, each.developer_provider_name = POOL, "login.example.internal"
        callers = [running.enter_context(closing(Caller(each))) for each in servers]
        issued = [each.get_token("u").identity_id for each in callers]
        again = [each.get_token("known").identity_id for each in callers]
    assert issued[0] == issued[1]
    assert again == [known, known]
    guest = run("identities", "create", "--identity-pool-id", servers[0].identity_pool_id, **environment)
    assert guest.returncode == 0, guest.stderr
    assert run("keys", "add", "ES256", **environment).returncode == 0


def test_the_first_token_may_come_from_postgresql(postgresql: PostgresqlServer) -> None:
    url = postgresql.new_schema()
    shown = [run("quickstart", "--once", "--store", url) for _ in range(2)]
    assert [each.returncode for each in shown] == [0, 0], shown[0].stderr
    ids = [re.findall(r'"identity_id": "(.*)"', each.stdout) for each in shown]
    assert ids[0] == ids[1]
    assert f'"store": "postgresql://127.0.0.1:{postgresql.port}/postgres"' in shown[0].stdout


def test_a_store_that_is_none_is_refused() -> None:
    refused = run("quickstart", "--once", "--store", "postgresql://me:se cret@db/x")
    assert (refused.returncode, "store.url: must be postgresql://" in refused.stderr) == (1, True), refused.stderr
    assert "se cret" not in refused.stderr
