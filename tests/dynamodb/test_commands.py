"""The commands of operators with a store that is not a file."""

import json
from pathlib import Path

import pytest
from tests.support.dynamodb import table_name, table_url
from tests.support.rewrapping import rewrap_and_check
from tests.support.server_process import POOL_ID
from tests.support.tokend import run

POOL = f'[pools."{POOL_ID}"]\ndeveloper_provider_name = "login.example.test"\n'


@pytest.fixture
def config(tmp_path: Path, moto_url: str) -> str:
    path = tmp_path / "tokend.toml"
    path.write_text(f'[store]\nurl = "{table_url(moto_url, table_name())}"\n{POOL}', encoding="utf-8")
    return str(path)


def test_migrate_identities_and_keys_commands_work_on_a_table(config: str) -> None:
    assert run("migrate", "--config", config).stdout == "applied: 0001\n"
    assert run("migrate", "--config", config).stdout == "up to date\n"
    pool = ("--config", config, "--identity-pool-id", POOL_ID)
    made = sorted(json.loads(run("identities", "create", *pool).stdout)["IdentityId"] for _ in range(3))
    first = json.loads(run("identities", "list", *pool, "--max-results", "2").stdout)
    rest = json.loads(run("identities", "list", *pool, "--next-token", first["NextToken"]).stdout)
    assert [each["IdentityId"] for each in first["Identities"] + rest["Identities"]] == made
    assert run("identities", "delete", *pool, made[0]).returncode == 0
    assert run("identities", "describe", *pool, made[0]).returncode == 1
    assert run("keys", "add", "ES256", "--config", config).returncode == 0
    assert len(run("keys", "list", "--config", config).stdout.splitlines()) >= 1


def test_rewrap_encrypts_and_decrypts_keys_in_a_table(config: str, tmp_path: Path) -> None:
    rewrap_and_check(Path(config), tmp_path)


def test_a_missing_table_is_reported_with_advice(config: str, tmp_path: Path) -> None:
    text = Path(config).read_text(encoding="utf-8").replace("[store]\n", "[store]\nmigrate_on_start = false\n")
    Path(config).write_text(text, encoding="utf-8")
    ended = run("identities", "create", "--config", config, "--identity-pool-id", POOL_ID)
    assert ended.returncode == 1
    assert "run `tokend migrate`" in ended.stderr
    refused = run("backup", str(tmp_path / "copy"), "--config", config)
    assert (refused.returncode, refused.stderr) == (1, "configuration: store.url: names no SQLite database\n")


def test_dynamodb_that_does_not_answer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tokend.toml"
    url = table_url("http://127.0.0.1:9", table_name(), max_attempts=1)
    path.write_text(f'[store]\nurl = "{url}"\n{POOL}', encoding="utf-8")
    ended = run("migrate", "--config", str(path))
    assert ended.returncode == 1
    assert "DynamoDB cannot be reached" in ended.stderr


def test_a_store_moves_to_the_table_and_back(moto_url: str, tmp_path: Path) -> None:
    file, table = f"sqlite:///{tmp_path}/tokend.db", table_url(moto_url, table_name())
    back = f"sqlite:///{tmp_path}/back.db"
    origin = tmp_path / "origin.toml"
    origin.write_text(f'[store]\nurl = "{file}"\n{POOL}', encoding="utf-8")
    pool = ("--config", str(origin), "--identity-pool-id", POOL_ID)
    for _ in range(3):
        run("identities", "create", *pool)
    run("keys", "add", "ES256", "--config", str(origin))
    there = run("store", "copy", str(origin), table)
    assert there.returncode == 0, there.stderr
    assert there.stdout.startswith("identities: 3 created, 0 changed, 0 deleted; signing keys: 1 copied\n")
    again = run("store", "copy", str(origin), table)
    assert again.stdout.startswith("identities: 0 created, 0 changed, 0 deleted; signing keys: 0 copied\n")
    here = run("store", "copy", table, back)
    ours, theirs = here.stdout.splitlines()[1:]
    assert ours.removeprefix("FROM:").strip() == theirs.removeprefix("TO:").strip()
    assert ours.startswith("FROM: 3 identities, 1 signing keys, ")


def test_a_file_is_not_copied_to_itself_however_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to("tokend.db")
    run("migrate", TOKEND_STORE_URL=f"sqlite:///{tmp_path}/tokend.db").check_returncode()
    for other in ("tokend.db", "link.db", f"../{tmp_path.name}/tokend.db"):
        same = run("store", "copy", f"sqlite:///{tmp_path}/tokend.db", f"sqlite:///{tmp_path}/{other}")
        assert (same.returncode, same.stderr) == (1, "configuration: store: FROM and TO are the same store\n")


def test_a_table_is_not_copied_to_itself_however_it_is_named(moto_url: str) -> None:
    name = table_name()
    table, other = table_url(moto_url, name), table_url(moto_url.replace("127.0.0.1", "localhost"), name)
    run("migrate", TOKEND_STORE_URL=table).check_returncode()
    for each in (table, other, f"{table}&timeout_seconds=3"):
        same = run("store", "copy", "--delete", table, each)
        assert (same.returncode, same.stderr) == (1, "configuration: store: FROM and TO are the same store\n")


def test_an_invalid_source_or_target_of_a_copy_is_rejected(moto_url: str, tmp_path: Path) -> None:
    table = table_url(moto_url, table_name())
    odd = run("store", "copy", "mysql://user:secret@host/tokend", f"sqlite:///{tmp_path}/tokend.db")
    assert odd.returncode == 1
    assert odd.stderr.startswith("configuration: store.url: ")
    assert "secret" not in odd.stderr
    misspelled = run("store", "copy", f"sqlite:///{tmp_path}/no.db", table)
    assert misspelled.returncode == 1
    assert misspelled.stderr.startswith(f"Error: There is no store at {tmp_path}/no.db: ")
    assert not (tmp_path / "no.db").exists()
    (tmp_path / "empty.db").touch(mode=0o600)
    empty = run("store", "copy", f"sqlite:///{tmp_path}/empty.db", table)
    assert empty.returncode == 1
    assert "FROM does not have the schema of this release" in empty.stderr
