"""Which PostgreSQL URLs are accepted, and which of their parts are shown."""

import pytest

from tokend_server.config import Config, Store
from tokend_server.config.postgresql_url import is_unverified, read_postgresql, redacted_postgresql
from tokend_server.config.warnings import config_warnings


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://db/tokend", "postgresql://db/tokend"),
        ("postgresql://me@db:5433/tokend", "postgresql://db:5433/tokend"),
        ("postgresql://me:p%40ss%2F=&,~@db/tokend", "postgresql://db/tokend"),
        ("postgresql://me:@db", "postgresql://db"),
        ("postgresql://me:x@[::1]:5432/tokend", "postgresql://[::1]:5432/tokend"),
        ("postgresql://a:1,b,c:3/tokend?target_session_attrs=read-write", "postgresql://a:1,b,c:3/tokend"),
        ("postgresql://me@%2Frun%2Fpostgresql/tokend", "postgresql://%2Frun%2Fpostgresql/tokend"),
        ("postgresql:///tokend?host=/run/postgresql", "postgresql:///tokend"),
        ("postgresql://db/t?sslmode=verify-full&sslrootcert=/etc/ca.pem", "postgresql://db/t"),
        ("postgresql://db/t?options=-csearch_path%3Dx", "postgresql://db/t"),
    ],
)
def test_urls_are_shown_without_their_secrets(url: str, shown: str) -> None:
    config = Config(store=Store(url=url))
    assert (config.store_url, config.store_name) == (url, shown)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:/db",
        "postgres://db/tokend",
        "postgresql://me:p@ss@db/tokend",
        "postgresql://me:p/ss@db/tokend",
        "postgresql://me:p#ss@db/tokend",
        "postgresql://me:p ss@db/tokend",
        "postgresql://me:p%ss@db/tokend",
        "postgresql://me:p?ss@db/tokend",
        "postgresql://db:port/tokend",
        "postgresql://db/tokend?sslmode",
        "postgresql://db/tokend\n",
    ],
)
def test_an_invalid_postgresql_url_is_rejected_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="encoded, such as %40 for @") as refused:
        read_postgresql(url)
    assert "ss" not in str(refused.value).replace("PASSWORD", "").replace("password", "")
    assert redacted_postgresql(url) == "postgresql://..."


@pytest.mark.parametrize("name", ["password", "passfile", "sslpassword"])
def test_a_password_parameter_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match=f"must have no {name} among its parameters"):
        read_postgresql(f"postgresql://db/tokend?sslmode=require&{name}=x")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://db/tokend", True),
        ("postgresql://db:5432/tokend?sslmode=require", True),
        ("postgresql://127.0.0.1,db:5432/tokend", True),
        ("postgresql://me:x@db/tokend?sslmode=verify-full&sslrootcert=/ca.pem", False),
        ("postgresql://127.0.0.1:5432,[::1]:5433,localhost/tokend", False),
        ("postgresql://%2Frun%2Fpostgresql/tokend", False),
        ("postgresql:///tokend", False),
        ("postgresql:///tokend?host=/run/postgresql", False),
        ("postgresql:///tokend?host=db.example.test&port=5433", True),
        ("postgresql://localhost/tokend?host=localhost,db.example.test", True),
        ("postgresql://localhost/tokend?hostaddr=192.0.2.1", True),
        ("postgresql://db/tokend?hostaddr=127.0.0.1", False),
        ("postgresql://db/tokend?host=&hostaddr=", False),
        ("postgresql:///tokend?host=db.example.test&sslmode=verify-full", False),
        ("postgresql://db/tokend?sslmode=verify-full&sslmode=require", True),
    ],
)
def test_a_connection_without_server_verification_causes_a_warning(url: str, *, expected: bool) -> None:
    assert is_unverified(url) is expected
    warned = [each.partition(":")[0] for each in config_warnings(Config(store=Store(url=url)), {})]
    assert [setting for setting in warned if setting != "keys.encryption"] == ["store.url"] * expected


def test_settings_of_another_kind_of_store_are_refused() -> None:
    with pytest.raises(ValueError, match="database_schema, max_connections: not for the kind of store in url"):
        Store(url="sqlite:////x.db", database_schema="x", max_connections=3)
