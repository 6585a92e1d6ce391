"""The commands of server/running-more-than-one.md with PostgreSQL, literally except for the database's URL."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.support.postgresql import PostgresqlServer, own_server, run_directory
from tests.support.running_more_than_one import POOL, blocks, copied, ids_by_two_servers, registered_on
from tests.support.tokend import run


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresqlServer]:
    with own_server(run_directory(tmp_path_factory)) as server:
        yield server


def execute(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in filter(None, (each.strip() for each in statements.split(";"))):
            connection.execute(statement.encode())


def test_the_commands_of_the_page_set_up_two_servers_with_the_same_identities(
    server: PostgresqlServer, tmp_path: Path
) -> None:
    make, grant = blocks("PostgreSQL", "sql")
    (toml,) = blocks("PostgreSQL", "toml")
    assert blocks("PostgreSQL", "sh") == ["tokend migrate\n"]
    before = tmp_path / "tokend.db"
    known = registered_on(before)
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
    assert run("migrate", **environment, TOKEND_STORE_URL=owner).stdout == "applied: 0001, 0002, 0003, 0004, 0005\n"
    execute(owner, grant)
    assert f"store postgresql://127.0.0.1:{server.port}/tokend" in run("check-config", **environment).stdout
    copied(before, config)
    issued, again = ids_by_two_servers(config)
    assert issued[0] == issued[1]
    assert again == [known, known]
    guest = run("identities", "create", "--identity-pool-id", POOL, **environment)
    assert guest.returncode == 0, guest.stderr
    assert run("keys", "add", "ES256", **environment).returncode == 0


def test_quickstart_keeps_identities_in_postgresql(postgresql: PostgresqlServer) -> None:
    url = postgresql.new_schema()
    shown = [run("quickstart", "--once", "--store", url) for _ in range(2)]
    assert [each.returncode for each in shown] == [0, 0], shown[0].stderr
    ids = [re.findall(r'"identity_id": "(.*)"', each.stdout) for each in shown]
    assert ids[0] == ids[1]
    assert f'"store": "postgresql://127.0.0.1:{postgresql.port}/postgres"' in shown[0].stdout


def test_an_invalid_store_url_is_rejected_without_showing_its_password() -> None:
    refused = run("quickstart", "--once", "--store", "postgresql://me:se cret@db/x")
    assert (refused.returncode, "store.url: must be postgresql://" in refused.stderr) == (1, True), refused.stderr
    assert "se cret" not in refused.stderr
