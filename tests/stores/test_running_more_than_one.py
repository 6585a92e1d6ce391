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

PAGE = (Path(__file__).parents[2] / "server" / "running-more-than-one.md").read_text(encoding="utf-8")
FREE = "127.0.0.1:0"


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


def test_the_page_leads_to_two_servers_with_one_truth(server: PostgresqlServer, tmp_path: Path) -> None:
    make, grant = blocks("sql")
    (toml,) = blocks("toml")
    migrate, serve = (block.splitlines() for block in blocks("sh"))
    assert (migrate, serve) == (["tokend migrate"], ["tokend check-config", "tokend serve"])
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
    assert run("migrate", **environment, TOKEND_STORE_URL=owner).stdout == "applied: 0001, 0002\n"
    execute(owner, grant)
    assert f"store postgresql://127.0.0.1:{server.port}/tokend" in run("check-config", **environment).stdout
    free = dict.fromkeys(("TOKEND_GRPC_LISTEN", "TOKEND_ISSUER_LISTEN", "TOKEND_OPS_LISTEN"), FREE)
    with ExitStack() as running:
        servers = [running.enter_context(ServerProcess(config, free)) for _ in range(2)]
        for each in servers:
            each.identity_pool_id = "eu-west-1:11111111-2222-3333-4444-555555555555"
            each.developer_provider_name = "login.example.internal"
        callers = [running.enter_context(closing(Caller(each))) for each in servers]
        issued = [each.get_token("u").identity_id for each in callers]
    assert issued[0] == issued[1]
    guest = run("identities", "create", "--identity-pool-id", servers[0].identity_pool_id, **environment)
    assert guest.returncode == 0, guest.stderr
    assert run("keys", "add", "ES256", **environment).returncode == 0
