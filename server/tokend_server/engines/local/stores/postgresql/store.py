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
from tokend_server.engines.local.stores.postgresql.opening import Opener, UnusableServer
from tokend_server.engines.local.stores.postgresql.pool import ConnectionPool, NoConnection
from tokend_server.engines.local.stores.sql.database import OWNER
from tokend_server.engines.local.stores.sql.store import SqlStore
from tokend_server.errors import ConfigError

#: The number of further connections, for readiness checks, keys, and calls whose threads were replaced.
_OTHERS = 4

#: Seconds that a start waits for its first connection.
_START_TIMEOUT = 15.0


def open_configured(config: Config) -> SqlStore:
    """Opens the database in the configuration with one connection; further ones are opened as needed.

    Raises:
        ConfigError: As `open_store`.
        EngineUnavailable: As `open_store`.
    """
    opener, store = _opener(config), config.store
    threads = config.grpc.threads + (config.sds.threads if config.sds.listen else 0)
    pool = ConnectionPool(opener.open, store.max_connections or threads + _OTHERS)
    try:
        pool.release(pool.acquire(monotonic() + _START_TIMEOUT))
    except NoConnection as error:
        pool.close()
        raise _opening_error(error.__cause__, config.store_name) from error
    owner = str(OWNER.compile(dialect=opener.engine.dialect))
    return SqlStore(PostgresqlDatabase(pool, owner, store.timeout_seconds, store.database_schema))


def _opener(config: Config) -> Opener:
    """Returns an opener of connections to the database in the configuration, without opening one.

    Raises:
        ConfigError: The settings cannot be used.
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
        raise ConfigError(["store.url: libpq rejects it: check its parameters and its percent-encoding"]) from None


def check_settings(config: Config) -> None:
    """Checks that connections can be opened with these settings, whether or not the database answers.

    Raises:
        ConfigError: They cannot.
    """
    _opener(config)
    if file := config.store.password_file:
        try:
            _read_password(file)
        except OSError as error:
            raise _password_error(error) from error


def _password(config: Config) -> Callable[[], str] | None:
    """Returns a function that returns the password of a new connection."""
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
    except UnicodeDecodeError:  # its text contains a part of the password
        raise OSError(errno.EILSEQ, "is not UTF-8", str(file)) from None


def _password_error(error: OSError) -> ConfigError:
    return ConfigError([f"store.password_file: {error.filename}: {error.strerror}"])


def _opening_error(cause: BaseException | None, name: str) -> Exception:
    if isinstance(cause, UnusableServer):
        return ConfigError([f"store.url: {name}: {cause}"])
    if isinstance(cause, OSError):
        return _password_error(cause)
    driver = getattr(cause, "orig", cause)
    advice = f"{name}: {str(driver).partition(chr(10))[0]}" if driver else f"{name}: no answer in time"
    return unavailable(cause if isinstance(cause, Exception) else None).with_advice(advice)
