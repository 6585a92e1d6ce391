"""The port to a SQL database: its connections, transactions and errors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from sqlalchemy import Connection, Insert, bindparam, insert, select

from tokend_server.clock import Deadline
from tokend_server.engines.local.stores.sql.tables import identities, linked_logins

#: The read of every call: the owner of the login with a key.
OWNER = select(linked_logins.c.identity_id).where(linked_logins.c.login_key == bindparam("login_key"))

#: The writes of every call for a new user.
NEW_IDENTITIES, NEW_LOGINS = insert(identities), insert(linked_logins)

#: New rows by the statement that inserts them, in order; each row has all columns.
NewRows: TypeAlias = Mapping[Insert, Sequence[Mapping[str, Any]]]

_Result = TypeVar("_Result")


class Database(Protocol):
    """A SQL database with the errors of the store's port.

    A function that is passed to it may be called again, on another connection, if its earlier call had no effect. All
    methods raise `EngineUnavailable` if the database does not answer, before the deadline if there is one.
    """

    def owner(self, login_key: bytes, deadline: Deadline | None) -> str | None:
        """Returns the identity id to which the login with the key is linked, by `OWNER`."""
        ...

    def read(self, work: Callable[[Connection], _Result], deadline: Deadline | None = None) -> _Result:
        """Executes reads; each statement sees the data that is committed when it starts."""
        ...

    def read_all(self, work: Callable[[Connection], _Result]) -> _Result:
        """As `read`, for reads of all rows of a table, without a timeout."""
        ...

    def insert(self, rows: NewRows, deadline: Deadline) -> None:
        """As `write`, for new rows only, by `NEW_IDENTITIES` and `NEW_LOGINS`."""
        ...

    def write(self, work: Callable[[Connection], _Result], deadline: Deadline | None = None) -> _Result:
        """Executes writes as one transaction, which is durable at the end.

        Two such transactions may read the same rows and write different ones (write skew). If a write depends on a row
        that was read, its statement must compare that row.

        Raises:
            StaleReading: It conflicts with another transaction.
            DeadlineExceeded: The deadline passed before the transaction started.
        """
        ...

    def write_serializable(self, work: Callable[[Connection], _Result]) -> _Result:
        """As `write`, with serializable isolation."""
        ...

    def migrate(self, work: Callable[[Connection], _Result], lock_timeout: float) -> _Result:
        """Changes the schema in one transaction, which excludes other migrations.

        Args:
            work: Makes the changes, without a timeout.
            lock_timeout: Seconds to wait for others before it starts.
        """
        ...

    def close(self) -> None:
        """Closes all connections."""
        ...


def insert_rows(connection: Connection, rows: NewRows) -> None:
    """Inserts rows within a transaction."""
    for statement, of_statement in rows.items():
        if of_statement:
            connection.execute(statement, of_statement)
