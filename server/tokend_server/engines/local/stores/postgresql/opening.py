"""Opens connections to PostgreSQL, and checks the server's settings before they are used."""

import math
import random
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import Diagnostic
from psycopg.rows import TupleRow
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import NullPool

from tokend_server.engines.local.stores.postgresql import psycopg_internals

#: The defaults of the URL's parameters. The timeout of a connection is two seconds, libpq's minimum; a host that
#: disappears during or between requests is detected some seconds later.
_DEFAULTS: Mapping[str, str] = {
    "application_name": "tokend",
    "client_encoding": "UTF8",
    "connect_timeout": "2",
    "gssencmode": "disable",
    "keepalives_count": "3",
    "keepalives_idle": "10",
    "keepalives_interval": "3",
    "target_session_attrs": "read-write",
    "tcp_user_timeout": "5000",
}

#: The lifetime of a connection in seconds, plus or minus a quarter; a new connection then uses the current addresses
#: and password.
_LIFETIME = 1800.0

#: Timeouts in milliseconds, as texts: of a statement, whose client has given up by then, and of an idle transaction
#: whose client has disappeared, which may hold row locks.
_SESSION = """
SELECT current_setting('synchronous_commit'), current_setting('transaction_read_only'),
    set_config('statement_timeout', %(statement)s, false),
    set_config('idle_in_transaction_session_timeout', %(idle)s, false),
    set_config('search_path', coalesce(%(schema)s, current_setting('search_path')), false)
"""

_Result = TypeVar("_Result")


class UnusableServer(Exception):
    """Raised when a server cannot store data durably, for the reason in the text."""


class BoundedConnection(psycopg.Connection[TupleRow]):
    """A connection whose waits for the server all time out, even if the server does not answer at all.

    Statements on the server are never cancelled: a commit that waits for a replica would then be acknowledged as if the
    replica had it.

    Attributes:
        until: The monotonic time at which waits end with an `OperationalError`.
        wait_timeout: The timeout of each single wait in seconds.
        was_warned: Whether the server has sent a warning since this was set to False.
    """

    until: float = math.inf
    wait_timeout: float = math.inf
    was_warned: bool = False

    def wait(self, gen: PQGen[_Result], interval: float = 0.1, timeout: float | None = None) -> _Result:
        """Sends and receives data; a `timeout` replaces `wait_timeout`."""
        left = min(max(0.0, self.until - monotonic()), self.wait_timeout)
        if timeout is not None:
            left = min(left, timeout)
        return psycopg_internals.wait(gen, self, interval, None if left == math.inf else left)

    def note_warning(self, notice: Diagnostic) -> None:
        """Records a warning from the server."""
        self.was_warned |= notice.severity_nonlocalized == "WARNING"


class OpenConnection:
    """A connection of the pool, for use by SQLAlchemy and by the driver itself.

    Attributes:
        connection: SQLAlchemy's connection, in autocommit.
        driver: The driver's connection.
        cursor: A cursor of the driver's.
        opened_at: The monotonic time when it was opened.
        expires_at: The monotonic time from which on it must not be used.
    """

    def __init__(self, connection: Connection, driver: BoundedConnection) -> None:
        self.connection = connection
        self.driver = driver
        self.cursor = driver.cursor()
        self.opened_at = monotonic()
        self.expires_at = self.opened_at + _LIFETIME * random.uniform(0.75, 1.25)  # noqa: S311 - no secret

    def close(self) -> None:
        """Closes it, whatever its state, without SQLAlchemy's pool."""
        self.connection.invalidate()
        self.connection.close()
        self.driver.close()


class Opener:
    """Opens connections.

    Args:
        url: The URL of the server in libpq's format.
        password: Returns the password of a new connection; None to use the URL's.
        schema: The schema of the tables; None for the server's default.
        timeout: The timeout of a statement in seconds.
    """

    def __init__(self, url: str, *, password: Callable[[], str] | None, schema: str | None, timeout: float) -> None:
        self._parameters: dict[str, Any] = {**_DEFAULTS, **conninfo_to_dict(url)}
        self._password = password
        self._session = {
            "statement": str(math.ceil(timeout * 1000)),
            "idle": str(math.ceil(timeout * 2000)),
            "schema": schema,
        }
        self._timeout = timeout
        self.engine: Engine = create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            paramstyle="format",
            use_native_hstore=False,
            hide_parameters=True,
        )

    def open(self) -> OpenConnection:
        """Opens a connection.

        Raises:
            SQLAlchemyError: No server that accepts writes can be reached, or it refuses the login.
            UnusableServer: The server would lose data.
            Exception: The error of `password`.
        """
        connection = self.engine.connect()
        driver = connection.connection.driver_connection
        assert isinstance(driver, BoundedConnection)  # noqa: S101 - as `_connect` has made it
        driver.until = monotonic() + self._timeout
        return OpenConnection(connection, driver)

    def _connect(self) -> BoundedConnection:
        parameters = dict(self._parameters)
        if self._password:
            parameters["password"] = self._password()
        driver = BoundedConnection.connect(**parameters)
        try:
            self._prepare(driver)
        except BaseException:
            driver.close()
            raise
        return driver

    def _prepare(self, driver: BoundedConnection) -> None:
        driver.autocommit = True
        driver.until = monotonic() + self._timeout
        driver.add_notice_handler(driver.note_warning)
        row = driver.execute(_SESSION, self._session).fetchone()
        assert row is not None  # noqa: S101 - it is a SELECT without a table
        synchronous_commit, read_only, *_ = row
        if synchronous_commit == "off":
            raise UnusableServer("synchronous_commit is off, so that acknowledged commits could be lost: set it to on")
        if read_only == "on":
            raise UnusableServer(
                "the server accepts no writes: it is a replica, or default_transaction_read_only is on"
            )
