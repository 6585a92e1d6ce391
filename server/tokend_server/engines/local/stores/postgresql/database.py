"""PostgreSQL as the database of a `SqlStore`: reads in one round trip, and concurrent transactions of many servers.

Transactions have the server's default isolation level, usually READ COMMITTED. This is sufficient for `write`, because
an identity is changed only at the revision that was read, and a login is linked only once. Transactions that decide on
all rows of a table are SERIALIZABLE and retried on conflicts; so are those whose callers do not retry.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TypeVar

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateSchema

from tokend_server.clock import Deadline
from tokend_server.engines.local.stale_reading import StaleReading
from tokend_server.engines.local.stores.postgresql.faults import (
    INSUFFICIENT_PRIVILEGE,
    INVALID_SCHEMA_NAME,
    is_conflict,
    is_lost,
    sqlstate,
    unavailable,
)
from tokend_server.engines.local.stores.postgresql.opening import OpenConnection
from tokend_server.engines.local.stores.postgresql.pool import ConnectionPool, NoConnection
from tokend_server.engines.local.stores.sql.database import NewRows, insert_rows
from tokend_server.errors import ConfigError, EngineUnavailable

#: The maximum number of attempts of a SERIALIZABLE transaction.
_ATTEMPTS = 20

#: The share of a caller's remaining time that is reserved to report that the store does not answer, and its maximum.
_RESERVE = 0.1
_LONGEST_RESERVE = 0.25

_BEGIN = "BEGIN"
#: At a higher level it would not see the changes of the transaction for whose lock it has waited.
_BEGIN_MIGRATION = "BEGIN ISOLATION LEVEL READ COMMITTED"
_BEGIN_SERIALIZABLE = "BEGIN ISOLATION LEVEL SERIALIZABLE"

#: The advisory lock of the schema: "tokend" in ASCII.
_MIGRATION_LOCK = 0x746F6B656E64

#: Advice for operators, by the SQLSTATE with which the migrations failed.
_OPERATOR_ERRORS = {
    INSUFFICIENT_PRIVILEGE: (
        "store: the role of store.url may not change the schema: run `tokend migrate` as the role that owns it"
    ),
    INVALID_SCHEMA_NAME: (
        "store: the role of store.url has no schema in its search path for the tables: "
        "create one, or grant USAGE on one"
    ),
}

_LOCK = text("SELECT pg_advisory_xact_lock(:key)")
_SET_LOCAL = text("SELECT set_config(:name, :milliseconds, true)")
_HAS_SCHEMA = text("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = :schema")

_Result = TypeVar("_Result")


class PostgresqlDatabase:
    """The `Database` behind a pool of connections.

    Args:
        pool: The connections.
        owner: `OWNER` in the driver's format.
        timeout: The timeout of all methods in seconds, whatever the deadline, except `read_all` and migrations.
        schema: The schema of the tables; None for the server's default.
    """

    def __init__(
        self, pool: ConnectionPool[OpenConnection], owner: str, timeout: float, schema: str | None = None
    ) -> None:
        self._pool = pool
        self._owner = owner
        self._timeout = timeout
        self._schema = schema

    def owner(self, login_key: bytes, deadline: Deadline | None) -> str | None:
        def first(opened: OpenConnection) -> tuple[object, ...] | None:
            return opened.cursor.execute(self._owner, (login_key,), prepare=True).fetchone()

        opened, row = self._first_use(first, self._wait_until(deadline))
        self._pool.release(opened)
        return None if row is None else str(row[0])

    def read(self, work: Callable[[Connection], _Result], deadline: Deadline | None = None) -> _Result:
        opened, result = self._first_use(lambda opened: work(opened.connection), self._wait_until(deadline))
        self._pool.release(opened)
        return result

    def read_all(self, work: Callable[[Connection], _Result]) -> _Result:
        def unbounded(connection: Connection) -> _Result:
            _set_local(connection, "statement_timeout", 0.0)
            return work(connection)

        return self._transaction(unbounded, _BEGIN)

    def insert(self, rows: NewRows, deadline: Deadline) -> None:
        self.write(lambda connection: insert_rows(connection, rows), deadline)

    def write(self, work: Callable[[Connection], _Result], deadline: Deadline | None = None) -> _Result:
        return self._transaction(work, _BEGIN, deadline, until=self._wait_until(deadline))

    def write_serializable(self, work: Callable[[Connection], _Result]) -> _Result:
        def exclusive(connection: Connection) -> _Result:
            # The decision may need to read all rows on another connection.
            _set_local(connection, "idle_in_transaction_session_timeout", 0.0)
            return work(connection)

        for _ in range(_ATTEMPTS):
            with suppress(StaleReading):
                return self._transaction(exclusive, _BEGIN_SERIALIZABLE, wait_timeout=self._timeout)
        raise EngineUnavailable("The identity store is being changed by too many processes at once.")

    def migrate(self, work: Callable[[Connection], _Result], lock_timeout: float) -> _Result:
        def exclusive(connection: Connection) -> _Result:
            _set_local(connection, "lock_timeout", lock_timeout)
            _set_local(connection, "statement_timeout", 0.0)
            connection.execute(_LOCK, {"key": _MIGRATION_LOCK})
            self._make_schema(connection)
            return work(connection)

        try:
            return self._transaction(exclusive, _BEGIN_MIGRATION)
        except EngineUnavailable as error:
            cause = error.__cause__
            operator_error = _OPERATOR_ERRORS.get(sqlstate(cause) or "") if isinstance(cause, Exception) else None
            if operator_error:
                raise ConfigError([operator_error]) from error
            raise

    def close(self) -> None:
        self._pool.close()

    def _make_schema(self, connection: Connection) -> None:
        # A role that may use the schema need not have the right to create it.
        if self._schema and connection.execute(_HAS_SCHEMA, {"schema": self._schema}).first() is None:
            connection.execute(CreateSchema(self._schema))

    def _wait_until(self, deadline: Deadline | None) -> float:
        """Returns the monotonic time until which a caller can wait for the store."""
        if deadline is None:
            return monotonic() + self._timeout
        deadline.check()
        left = deadline.remaining()
        return monotonic() + min(left - min(left * _RESERVE, _LONGEST_RESERVE), self._timeout)

    def _first_use(
        self, act: Callable[[OpenConnection], _Result], until: float, wait_timeout: float = math.inf
    ) -> tuple[OpenConnection, _Result]:
        """Executes an action without effect if it fails, and returns the connection, which must be released.

        If the server was restarted, its connections turn out to be closed when they are used, so the action is retried.
        """
        lost_at = math.inf
        while True:
            opened = self._acquire(until)
            opened.driver.until, opened.driver.wait_timeout = until, wait_timeout
            try:
                return opened, act(opened)
            except (SQLAlchemyError, psycopg.Error) as error:
                self._pool.discard(opened)
                if not is_lost(error) or opened.opened_at > lost_at:
                    raise unavailable(error) from error
            except BaseException:
                self._pool.discard(opened)
                raise
            lost_at = min(lost_at, monotonic())
            self._pool.discard_idle()

    def _acquire(self, until: float) -> OpenConnection:
        # Work without a time limit waits for its own result, but not without limit for a connection.
        try:
            return self._pool.acquire(min(until, monotonic() + self._timeout))
        except NoConnection as error:
            cause = error.__cause__
            raise unavailable(cause if isinstance(cause, Exception) else None) from error

    def _transaction(
        self,
        work: Callable[[Connection], _Result],
        begin: str,
        deadline: Deadline | None = None,
        *,
        until: float = math.inf,
        wait_timeout: float = math.inf,
    ) -> _Result:
        opened, _ = self._first_use(lambda opened: opened.driver.execute(begin), until, wait_timeout)
        try:
            result = work(opened.connection)
        except (SQLAlchemyError, psycopg.Error) as error:
            self._roll_back(opened)
            if is_conflict(error):
                raise StaleReading from error
            if deadline is not None:
                deadline.check()
            raise unavailable(error) from error
        except BaseException:
            self._roll_back(opened)
            raise
        self._commit(opened)
        return result

    def _commit(self, opened: OpenConnection) -> None:
        opened.driver.was_warned = False
        try:
            opened.driver.commit()
        except psycopg.Error as error:
            self._pool.discard(opened)
            if is_conflict(error):
                raise StaleReading from error
            raise _unknown_outcome() from error
        except BaseException:
            self._pool.discard(opened)
            raise
        # With a warning the server reports that a replica may not have the commit, which it acknowledges nevertheless.
        is_doubtful = opened.driver.was_warned
        self._pool.release(opened)
        if is_doubtful:
            raise _unknown_outcome()

    def _roll_back(self, opened: OpenConnection) -> None:
        try:
            opened.driver.rollback()
        except psycopg.Error:  # the server rolls back by itself
            self._pool.discard(opened)
        else:
            self._pool.release(opened)


def _set_local(connection: Connection, name: str, seconds: float) -> None:
    """Sets a timeout of the transaction; 0 for no timeout."""
    connection.execute(_SET_LOCAL, {"name": name, "milliseconds": str(math.ceil(seconds * 1000))})


def _unknown_outcome() -> EngineUnavailable:
    return EngineUnavailable("The identity store did not answer: it is not known whether the change was made.")
