"""Which servers and passwords are accepted, and which parts are shown."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contracts.store_contract import POOL, identity
from tests.fakes.cognito_upstream import ACCESS_KEY
from tests.stores.opened import Opened, create, owner, until_back
from tests.support.aws_environment import give_credentials, without_aws_settings
from tests.support.certificates import write_certificate
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.ports import free_port
from tests.support.postgresql import WITH_PASSWORD, PostgresqlServer
from tests.support.tokend import run

from tokend_server.config import Config, Store
from tokend_server.engines.local.stores.opening import open_migrated_store, open_store
from tokend_server.errors import ConfigError, EngineUnavailable

PASSWORD = "pass w\u00f6rd"
ENCODED = "pass%20w%C3%B6rd"


@pytest.fixture
def guarded(postgresql: PostgresqlServer) -> Iterator[str]:
    """Returns the URL of a server that requires a password, with a placeholder for the user's part."""
    postgresql.execute(f"CREATE ROLE {WITH_PASSWORD} LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    yield postgresql.new_schema().replace("tokend@", "{}@")
    postgresql.execute(f"DROP OWNED BY {WITH_PASSWORD} CASCADE")
    postgresql.execute(f"DROP ROLE {WITH_PASSWORD}")


def store_of(url: str, **settings: object) -> Config:
    return Config(store=Store.model_validate({"url": url, **settings}))


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("synchronous_commit%3Doff", "synchronous_commit is off"),
        ("default_transaction_read_only%3Don", "the server accepts no writes"),
    ],
)
def test_a_server_that_would_lose_what_it_acknowledges_is_refused(
    postgresql: PostgresqlServer, option: str, problem: str
) -> None:
    url = f"{postgresql.new_schema()}%20-c{option}&target_session_attrs=any"
    with pytest.raises(ConfigError, match=problem):
        open_store(store_of(url))


def test_a_server_that_takes_no_writes_is_not_used_unless_the_url_says_so(postgresql: PostgresqlServer) -> None:
    url = f"{postgresql.new_schema()}%20-cdefault_transaction_read_only%3Don"
    with pytest.raises(EngineUnavailable) as refused:
        open_store(store_of(url))
    assert "read-only" in refused.value.advice


def test_a_server_without_tls_is_refused_with_sslmode_verify_full(postgresql: PostgresqlServer, tmp_path: Path) -> None:
    authority = write_certificate(tmp_path).certificate_file
    with pytest.raises(EngineUnavailable) as refused:
        open_store(store_of(f"{postgresql.new_schema()}&sslmode=verify-full&sslrootcert={authority}"))
    assert "does not support SSL" in refused.value.advice


def test_the_reachable_one_of_several_hosts_is_used(postgresql: PostgresqlServer, opened: Opened) -> None:
    several = postgresql.new_schema().replace("@127.0.0.1:", f"@127.0.0.1:{free_port()},127.0.0.1:")
    store = opened(several)
    create(store, identity("a", "x"))
    assert owner(store, "x") == "eu-west-1:a"


def test_a_missing_database_schema_is_created(postgresql: PostgresqlServer, opened: Opened) -> None:
    name = postgresql.new_schema().rpartition("3D")[2]
    postgresql.execute(f"DROP SCHEMA {name}")
    store = opened(postgresql.url, database_schema=name)
    create(store, identity("a", "x"))
    assert postgresql.execute(f"SELECT count(*) FROM {name}.linked_logins") == [(1,)]


def test_a_store_is_copied_from_one_schema_to_another(postgresql: PostgresqlServer, tmp_path: Path) -> None:
    names = [postgresql.new_schema().rpartition("3D")[2] for _ in range(2)]
    places = [tmp_path / f"{name}.toml" for name in names]
    for name, place in zip(names, places, strict=True):
        pool = f'[pools."{POOL}"]\ndeveloper_provider_name = "p"\n'
        place.write_text(
            f'store = {{ url = "{postgresql.url}", database_schema = "{name}" }}\n{pool}', encoding="utf-8"
        )
    run("identities", "create", "--config", str(places[0]), "--identity-pool-id", POOL).check_returncode()
    same = run("store", "copy", str(places[0]), str(places[0]))
    assert (same.returncode, same.stderr) == (1, "configuration: store: FROM and TO are the same store\n")
    copied = run("store", "copy", *map(str, places))
    assert copied.stdout.startswith("identities: 1 created, "), copied.stderr
    assert postgresql.execute(f"SELECT count(*) FROM {names[1]}.identities") == [(1,)]


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("@127.0.0.1:", "@localhost:"),
        ("/postgres?", "/postgres?application_name=copy&"),
    ],
)
def test_a_store_is_not_copied_to_itself_however_it_is_named(
    postgresql: PostgresqlServer, here: str, there: str
) -> None:
    url = postgresql.new_schema()
    other = url.replace(here, there)
    run("migrate", TOKEND_STORE_URL=url).check_returncode()
    same = run("store", "copy", "--delete", url, other)
    assert other != url
    assert (same.returncode, same.stderr) == (1, "configuration: store: FROM and TO are the same store\n")


@pytest.mark.parametrize(
    ("statement", "problem"),
    [("GRANT USAGE ON SCHEMA {} TO {}", "as the role that owns it"), ("SELECT '{}', '{}'", "grant USAGE")],
    ids=["may use it", "may not even use it"],
)
def test_a_role_without_schema_privileges_is_a_configuration_error(
    postgresql: PostgresqlServer, statement: str, problem: str
) -> None:
    url, role = postgresql.new_schema(), f"visitor_{os.getpid()}"
    postgresql.execute(f"CREATE ROLE {role} LOGIN")
    postgresql.execute(statement.format(url.rpartition("3D")[2], role))
    try:
        with pytest.raises(ConfigError, match=problem):
            open_migrated_store(store_of(url.replace("tokend@", f"{role}@")))
    finally:
        postgresql.execute(f"DROP OWNED BY {role}")
        postgresql.execute(f"DROP ROLE {role}")


def test_a_store_opens_at_most_max_connections(postgresql: PostgresqlServer, opened: Opened) -> None:
    url = f"{postgresql.new_schema()}&application_name=few"
    store = opened(url, max_connections=2)
    for number in range(20):
        create(store, identity(f"{number}", f"x{number}"))
    assert postgresql.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'few'") <= [(2,)]


def test_a_password_is_read_again_for_each_new_connection(
    postgresql: PostgresqlServer, guarded: str, tmp_path: Path, opened: Opened
) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n", encoding="utf-8")
    with FaultProxy(postgresql.port) as proxy:
        url = guarded.format(WITH_PASSWORD).replace(f":{postgresql.port}/", f":{proxy.port}/")
        store = opened(url, password_file=file)
        create(store, identity("a", "x"))
        postgresql.execute(f"ALTER ROLE {WITH_PASSWORD} PASSWORD 'another'")
        file.write_text("another", encoding="utf-8")
        proxy.be(Fault.CUT)
        proxy.be(Fault.NONE)
        until_back(lambda: owner(store, "x"))
        assert owner(store, "x") == "eu-west-1:a"


def test_a_missing_password_file_is_a_configuration_error(guarded: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"store\.password_file: .*No such file"):
        open_store(store_of(guarded.format(WITH_PASSWORD), password_file=tmp_path / "none"))


def test_a_binary_password_file_is_rejected_and_not_shown(
    guarded: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "password").write_bytes(b"caf\xe9")
    with pytest.raises(ConfigError, match=r"store\.password_file: .*/password: is not UTF-8") as refused:
        open_store(store_of(guarded.format(WITH_PASSWORD), password_file=tmp_path / "password"))
    (logged,) = [record.__dict__["problem"] for record in caplog.records]
    assert "is not UTF-8" in logged
    assert "xe9" not in f"{refused.value} {logged}"


def test_commands_find_a_password_that_is_not_on_their_command_line(guarded: str, tmp_path: Path) -> None:
    url, source = guarded.format(WITH_PASSWORD), f"sqlite:///{tmp_path / 'source.db'}"
    run("migrate", TOKEND_STORE_URL=source).check_returncode()
    file, passfile, config = tmp_path / "password", tmp_path / "pgpass", tmp_path / "tokend.toml"
    file.write_text(PASSWORD, encoding="utf-8")
    passfile.write_text(f"*:*:*:{WITH_PASSWORD}:{PASSWORD}\n", encoding="utf-8")
    passfile.chmod(0o600)
    pool = f'[pools."{POOL}"]\ndeveloper_provider_name = "p"\n'
    config.write_text(f'store = {{ url = "{url}", password_file = "{file}" }}\n{pool}', encoding="utf-8")
    assert run("store", "copy", source, url).returncode == 1
    assert run("migrate", TOKEND_STORE_URL=url, TOKEND_STORE_PASSWORD_FILE=str(file)).stdout.startswith("applied: ")
    for copied in (
        run("store", "copy", source, str(config)),
        run("store", "copy", source, url, PGPASSFILE=str(passfile)),
    ):
        assert copied.returncode == 0, copied.stderr
        assert "TO:   0 identities" in copied.stdout


@pytest.mark.parametrize("password", ["wrong", ENCODED])
def test_a_password_is_shown_nowhere(guarded: str, password: str, caplog: pytest.LogCaptureFixture) -> None:
    config = store_of(guarded.format(f"{WITH_PASSWORD}:{password}"))
    caplog.set_level(logging.DEBUG)
    shown = [repr(config), str(config), config.store_name, repr(config.store)]
    if password == ENCODED:
        open_store(config).close()
    else:
        with pytest.raises(EngineUnavailable) as refused:
            open_store(config)
        assert "password authentication failed" in refused.value.advice
        shown += [str(refused.value), refused.value.advice]
    shown += [record.getMessage() + repr(record.__dict__) for record in caplog.records]
    assert not [text for text in shown if password in text or PASSWORD in text]


def test_a_place_where_nothing_listens_is_named_without_the_password() -> None:
    port = free_port()
    url = f"postgresql://me:secret@127.0.0.1:{port}/db?sslmode=disable"
    ended = run("keys", "list", TOKEND_STORE_URL=url)
    assert f"postgresql://127.0.0.1:{port}/db: connection failed" in ended.stderr
    checked = run("check-config", TOKEND_STORE_URL=url)
    assert f"store postgresql://127.0.0.1:{port}/db" in checked.stdout
    assert "secret" not in ended.stdout + ended.stderr + checked.stdout + checked.stderr


def test_a_url_that_libpq_rejects_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="libpq rejects it"):
        open_store(store_of("postgresql://127.0.0.1/db?no_such=secret"))


def test_a_token_of_iam_is_the_password_of_a_connection(
    guarded: str, postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    without_aws_settings(monkeypatch, tmp_path)
    give_credentials(monkeypatch, ACCESS_KEY)
    url = guarded.format(WITH_PASSWORD)
    with pytest.raises(EngineUnavailable) as refused:
        open_store(store_of(url))
    assert "no password supplied" in refused.value.advice
    with pytest.raises(EngineUnavailable) as refused:
        open_store(store_of(url, rds_iam_region="eu-west-1"))
    assert "password authentication failed" in refused.value.advice
    two_hosts = url.replace(f":{postgresql.port}/", f":{postgresql.port},other/")
    with pytest.raises(ConfigError, match="must name one host and a user"):
        open_store(store_of(two_hosts, rds_iam_region="eu-west-1"))
