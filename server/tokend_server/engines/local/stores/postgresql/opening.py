"""How a connection to PostgreSQL is opened, and what is made sure of before it is used."""

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

#: What holds unless the URL says otherwise. A host that does not answer is given up after two seconds, the least that
#: libpq knows; one that vanishes while it owes an answer, or while nothing is asked of it, some seconds later.
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

#: Seconds that a connection is used for, give or take a quarter: then a new one has the addresses and the password of
#: its time.
_LIFETIME = 1800.0

#: Milliseconds, as texts: of a statement, whose client has given up by then; and of a client that has gone without a
#: word in the middle of a transaction, which may hold rows that others wait for.
_SESSION = """
SELECT current_setting('synchronous_commit'), current_setting('transaction_read_only'),
    set_config('statement_timeout', %(statement)s, false),
    set_config('idle_in_transaction_session_timeout', %(idle)s, false),
    set_config('search_path', coalesce(%(schema)s, current_setting('search_path')), false)
"""

_Result = TypeVar("_Result")


class Unusable(Exception):
    """Raised when a server answers that cannot keep what it is given; the text says why."""


class BoundedConnection(psycopg.Connection[TupleRow]):
    """A connection whose every wait for the server ends in time, even if that does not answer at all.

    What the server does is never cancelled: a commit that waits for its replica would then be answered as if it had
    reached that.

    Attributes:
        until: The reading of the monotonic clock at which waiting ends, by an `OperationalError`.
        patience: Seconds after which each wait by itself ends so.
        was_warned: The server has sent a warning since this was set to False.
    """

    until: float = math.inf
    patience: float = math.inf
    was_warned: bool = False

    def wait(self, gen: PQGen[_Result], interval: float = 0.1, timeout: float | None = None) -> _Result:
        """Does what has to be sent and received; a `timeout` is as the patience."""
        left = min(max(0.0, self.until - monotonic()), self.patience)
        if timeout is not None:
            left = min(left, timeout)
        return psycopg_internals.wait(gen, self, interval, None if left == math.inf else left)

    def note_warning(self, notice: Diagnostic) -> None:
        """Takes notice of what the server says beside its answers."""
        self.was_warned |= notice.severity_nonlocalized == "WARNING"


class OpenConnection:
    """A connection as it is lent, for use by SQLAlchemy and by the driver itself.

    Attributes:
        connection: SQLAlchemy's, in autocommit.
        driver: The driver's.
        cursor: A cursor of the driver's.
        opened_at: A reading of the monotonic clock.
        expires_at: Another one, from which on it is not to be used.
    """

    def __init__(self, connection: Connection, driver: BoundedConnection) -> None:
        self.connection = connection
        self.driver = driver
        self.cursor = driver.cursor()
        self.opened_at = monotonic()
        self.expires_at = self.opened_at + _LIFETIME * random.uniform(0.75, 1.25)  # noqa: S311 - no secret

    def close(self) -> None:
        """Closes it, whatever its state, without a word to SQLAlchemy's pool."""
        self.connection.invalidate()
        self.connection.close()
        self.driver.close()


class Opener:
    """Opens connections.

    Args:
        url: The URL of the server, as libpq takes it.
        password: Asked for the password of each connection; None: there is none beside that of the URL.
        schema: Where the tables are; None: where the server puts them.
        timeout: Seconds that a statement may take.
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
            SQLAlchemyError: No server can be reached that takes writes, or it refuses who asks.
            Unusable: The server would lose what it is given.
            Exception: What `password` raises.
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
            raise Unusable("synchronous_commit is off, so that commits that were acknowledged could be lost: set it on")
        if read_only == "on":
            raise Unusable("the server takes no writes: it is a replica, or default_transaction_read_only is on")
