"""The store on PostgreSQL, for any number of servers on any number of machines."""

import errno
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tokend_server.clock import SystemClock
from tokend_server.config import Config
from tokend_server.engines.local.stores.postgresql.database import PostgresqlDatabase
from tokend_server.engines.local.stores.postgresql.faults import unavailable
from tokend_server.engines.local.stores.postgresql.opening import Opener, Unusable
from tokend_server.engines.local.stores.postgresql.pool import ConnectionPool, NoConnection
from tokend_server.engines.local.stores.sql.database import OWNER
from tokend_server.engines.local.stores.sql.store import SqlStore
from tokend_server.errors import ConfigError
from tokend_server.metrics import Metrics

#: Connections of what is no call: readiness, keys, a call whose thread was replaced.
_OTHERS = 4

#: Seconds that a start waits for its first connection.
_START_PATIENCE = 15.0


class PostgresqlStore(SqlStore):
    """A store on PostgreSQL, which does nothing by itself."""

    def start(self, metrics: Metrics) -> None:
        del metrics


def open_configured(config: Config) -> PostgresqlStore:
    """Opens the database that the configuration names, with one connection; there are more as they are needed.

    Raises:
        ConfigError: As `open_store`.
        EngineUnavailable: As `open_store`.
    """
    opener, store = _opener(config), config.store
    threads = config.grpc.threads + (config.sds.threads if config.sds.listen else 0)
    pool = ConnectionPool(opener.open, store.max_connections or threads + _OTHERS)
    try:
        pool.give_back(pool.take(monotonic() + _START_PATIENCE))
    except NoConnection as error:
        pool.close()
        raise _not_opened(error.__cause__, config.store_name) from error
    owner = str(OWNER.compile(dialect=opener.engine.dialect))
    return PostgresqlStore(PostgresqlDatabase(pool, owner, store.timeout_seconds, store.database_schema))


def _opener(config: Config) -> Opener:
    """What opens connections to the database that the configuration names; it opens none yet.

    Raises:
        ConfigError: There can be none by these settings.
    """
    store = config.store
    try:
        return Opener(
            config.store_url,
            password=_password(config),
            schema=store.database_schema,
            timeout=store.timeout_seconds,
        )
    except psycopg.Error:  # its text may repeat any part of the URL
        raise ConfigError(["store.url: libpq does not take it: check its parameters and what is encoded"]) from None


def check_settings(config: Config) -> None:
    """Makes sure that connections could be opened by these settings, whether or not the database answers.

    Raises:
        ConfigError: They could not.
    """
    _opener(config)


def _password(config: Config) -> Callable[[], str] | None:
    """What knows the password of a new connection."""
    store = config.store
    if file := store.password_file:
        return lambda: _read_password(file)
    if store.rds_iam_region is None:
        return None
    from tokend_server.aws.rds_tokens import rds_tokens  # noqa: PLC0415 - loads boto3

    place = conninfo_to_dict(config.store_url)
    host, user, port = str(place.get("host", "")), str(place.get("user", "")), str(place.get("port", "5432"))
    if not host or not user or "," in host:
        raise ConfigError(["store.rds_iam_region: store.url must name one host and a user, for whom tokens are signed"])
    try:
        return rds_tokens(store.rds_iam_region, host, int(port), user, SystemClock())
    except ValueError as error:
        raise ConfigError([f"store.rds_iam_region: {error}"]) from error


def _read_password(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:  # its text repeats a part of the password
        raise OSError(errno.EILSEQ, "is not UTF-8", str(file)) from None


def _not_opened(cause: BaseException | None, name: str) -> Exception:
    if isinstance(cause, Unusable):
        return ConfigError([f"store.url: {name}: {cause}"])
    if isinstance(cause, OSError):
        return ConfigError([f"store.password_file: {cause.filename}: {cause.strerror}"])
    error = unavailable(cause if isinstance(cause, Exception) else None)
    driver = getattr(cause, "orig", cause)
    error.advice = f"{name}: {str(driver).partition(chr(10))[0]}" if driver else f"{name}: no answer in time"
    return error
