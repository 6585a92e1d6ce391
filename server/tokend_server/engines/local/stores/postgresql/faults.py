"""Classifies the errors of the driver."""

import psycopg
from psycopg.errors import ConnectionTimeout
from sqlalchemy.exc import DBAPIError

from tokend_server.engines.local.stores.postgresql.psycopg_internals import WAIT_TIMEOUT
from tokend_server.errors import EngineUnavailable

#: SQLSTATEs, or their classes, of a transaction that conflicts with another one and is not applied:
#: integrity constraint violation, serialization failure, deadlock.
#: https://www.postgresql.org/docs/current/errcodes-appendix.html
_CONFLICTS = ("23", "40001", "40P01")

#: SQLSTATE classes of a closed connection: connection exception, operator intervention.
_LOST = ("08", "57P")

#: The role lacks a privilege.
INSUFFICIENT_PRIVILEGE = "42501"

#: No schema of the search path exists, or the role may use none of them.
INVALID_SCHEMA_NAME = "3F000"


def sqlstate(error: Exception) -> str | None:
    """Returns the server's code in an error of the driver or of SQLAlchemy; None if there is none."""
    cause = _cause(error)
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def is_conflict(error: Exception) -> bool:
    """Returns whether a transaction failed because of a conflict with another one."""
    return (sqlstate(error) or "").startswith(_CONFLICTS)


def is_lost(error: Exception) -> bool:
    """Returns whether a connection failed because the server closed it, and not because of a timeout."""
    cause = _cause(error)
    if not isinstance(cause, psycopg.OperationalError) or is_timeout(cause):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith(_LOST)


def is_timeout(error: Exception) -> bool:
    """Returns whether the server did not answer in time."""
    return isinstance(_cause(error), (WAIT_TIMEOUT, ConnectionTimeout))


def unavailable(error: Exception | None) -> EngineUnavailable:
    """Returns the error of the port for a failure of the database."""
    # The driver's text may contain values, so only the name of its error is used.
    name = "timeout" if error is None or is_timeout(error) else type(_cause(error)).__name__
    return EngineUnavailable(f"The identity store does not answer ({name}).")


def _cause(error: Exception) -> BaseException:
    return (error.orig or error) if isinstance(error, DBAPIError) else error
