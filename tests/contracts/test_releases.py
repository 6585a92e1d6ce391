"""Servers of two releases share a store: the older one with a newer schema, the newer one with an older schema."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from tests.contracts.key_store_contract import KeyStoreContract
from tests.contracts.store_contract import POOL, StoreContract, login
from tests.support.postgresql import PostgresqlServer

from tokend_server.config import Config, Store
from tokend_server.engines.local.keys.keyring import SigningAlgorithm, SigningKey
from tokend_server.engines.local.keys.store import FetchRecord
from tokend_server.engines.local.stores.opening import open_migrated_store, open_store
from tokend_server.engines.local.stores.sql.store import SqlStore
from tokend_server.errors import ConfigError
from tokend_server.model import Identity, Secret

#: Changes of the schema by a later release that are compatible with this one.
_GROWTH = (
    "ALTER TABLE identities ADD COLUMN note VARCHAR(20)",
    "ALTER TABLE linked_logins ADD COLUMN linked_date BIGINT NOT NULL DEFAULT 0",
    "CREATE TABLE later (name VARCHAR(20) PRIMARY KEY)",
    "UPDATE alembic_version SET version_num = 'a later one'",
)

#: The same, and a removal of something that this release needs.
_LOSS = "UPDATE schema_compatibility SET oldest_migration = 'a later one'"


def configured(url: str) -> Config:
    return Config(store=Store.model_validate({"url": url}))


def changed(url: str, *statements: str) -> str:
    """The URL of a store whose schema was created by this release and changed later."""

    def change(connection: Connection) -> None:
        for statement in statements:
            connection.execute(text(statement))

    with closing(open_migrated_store(configured(url))) as store:
        assert isinstance(store, SqlStore)
        store._database.write(change)  # noqa: SLF001 - whatever the database
    return url


class OnTheSchemaOfALaterRelease(StoreContract, KeyStoreContract):
    """Checks the whole port; `empty` is the URL of an empty store."""

    @pytest.fixture
    def url(self, empty: str) -> str:
        return changed(empty, *_GROWTH)

    def test_a_schema_is_made_once(self, url: str) -> None:
        with closing(open_store(configured(url))) as store:
            assert store.missing_migrations() == store.migrate() == []
            store.check()

    def test_a_schema_that_lacks_what_this_release_needs_is_refused(self, empty: str) -> None:
        with closing(open_store(configured(changed(empty, *_GROWTH, _LOSS)))) as store:
            for call in (store.missing_migrations, store.migrate):
                with pytest.raises(ConfigError, match="newer than this release"):
                    call()


class TestSqlite(OnTheSchemaOfALaterRelease):
    @pytest.fixture
    def empty(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'tokend.db'}"


class TestPostgresql(OnTheSchemaOfALaterRelease):
    @pytest.fixture
    def empty(self, postgresql: PostgresqlServer) -> str:
        return postgresql.new_schema()


@pytest.mark.parametrize(
    ("release", "missing"), [("0002", ["0003", "0004", "0005"]), ("0003", ["0004", "0005"]), ("0004", ["0005"])]
)
def test_data_of_an_earlier_release_is_kept(release: str, missing: list[str], tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "tokend.db")) as earlier:
        for script in ("0002", "0003", "0004"):
            if script <= release:
                path = Path(__file__).with_name(f"schema_{script}.sql")
                earlier.executescript(path.read_text(encoding="utf-8"))
    (tmp_path / "tokend.db").chmod(0o600)
    logins = [login(user, "login.example") for user in ("ü", "y", "z")]
    a = Identity("eu-west-1:a", POOL, 1_700_000_000, 1_700_000_100, frozenset(logins[:2]), revision=3)
    b = Identity("eu-west-1:b", POOL, 1_700_000_001, 1_700_000_001, frozenset(), disabled=True, revision=1)
    key = SigningKey("kid-1", SigningAlgorithm.RS512, 1, Secret("what was kept"), 1_700_000_000, 1_700_000_003)
    with closing(open_store(configured(f"sqlite:///{tmp_path / 'tokend.db'}"))) as store:
        assert store.migrate() == missing
        assert store.identities(POOL, max_results=9, after=None, hide_disabled=False) == [a, b]
        assert store.owners(POOL, logins) == ["eu-west-1:a", "eu-west-1:a", None]
        assert store.signing_keys() == (key,)
        assert store.fetch_records() == ([FetchRecord("server-1", 1_700_000_200, b"{}")] if release == "0004" else [])
        assert store.kept_pools() == []
        assert store.developer_providers() == {POOL: "login.example"}
