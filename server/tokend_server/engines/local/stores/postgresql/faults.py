"""What the errors of the driver mean for the port."""

import psycopg
from psycopg.errors import ConnectionTimeout
from sqlalchemy.exc import DBAPIError

from tokend_server.engines.local.stores.postgresql.psycopg_internals import WAIT_TIMEOUT
from tokend_server.errors import EngineUnavailable

#: SQLSTATEs, or the classes that they begin with, by which a transaction has met another one and is not applied:
#: integrity constraint violation, serialization failure, deadlock.
#: https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONFLICTS = ("23", "40001", "40P01")

#: Those by which a connection has come to its end: connection exception, operator intervention.
_LOST = ("08", "57P")

#: The server was not given the right to do what it was asked for.
INSUFFICIENT_PRIVILEGE = "42501"

#: No schema of the search path is there, or none that the role may use.
INVALID_SCHEMA_NAME = "3F000"


def sqlstate(error: Exception) -> str | None:
    """The code that the server has sent with an error of the driver or of SQLAlchemy; None: it has sent none."""
    cause = _cause(error)
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def is_conflict(error: Exception) -> bool:
    """Whether a transaction was refused because of another one."""
    return (sqlstate(error) or "").startswith(_CONFLICTS)


def is_lost(error: Exception) -> bool:
    """Whether a connection failed because the server has ended it, rather than that it takes too long to answer."""
    cause = _cause(error)
    if not isinstance(cause, psycopg.OperationalError) or timed_out(cause):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith(_LOST)


def timed_out(error: Exception) -> bool:
    """Whether the server did not answer in time."""
    return isinstance(_cause(error), (WAIT_TIMEOUT, ConnectionTimeout))


def unavailable(error: Exception | None) -> EngineUnavailable:
    """What a failure of the database is to callers."""
    # The driver's text may hold values; its name for the error says as much.
    name = "timeout" if error is None or timed_out(error) else type(_cause(error)).__name__
    return EngineUnavailable(f"The identity store does not answer ({name}).")


def _cause(error: Exception) -> BaseException:
    return (error.orig or error) if isinstance(error, DBAPIError) else error
