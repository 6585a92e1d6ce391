"""What one SQL database has differently from another: how to get at it, and what its errors mean."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from sqlalchemy import Connection, Insert, bindparam, insert, select

from tokend_server.clock import Deadline
from tokend_server.engines.local.stores.sql.tables import identities, linked_logins

#: The one read that every call makes: the owner of the login of a key.
OWNER = select(linked_logins.c.identity_id).where(linked_logins.c.login_key == bindparam("login_key"))

#: What every call for a new user writes.
NEW_IDENTITIES, NEW_LOGINS = insert(identities), insert(linked_logins)

#: New rows by the statement that inserts them, in order; each has all columns.
NewRows: TypeAlias = Mapping[Insert, Sequence[Mapping[str, Any]]]

_Result = TypeVar("_Result")


class Database(Protocol):
    """A SQL database, whose errors are those of the port.

    A function that it is given may be called again, on another connection, if nothing of an earlier call remains. All
    methods raise `EngineUnavailable` where the database does not answer, before the deadline if there is one.
    """

    def owner(self, login_key: bytes, deadline: Deadline | None) -> str | None:
        """The identity id that the login of the key is linked to, by `OWNER`."""
        ...

    def read(self, work: Callable[[Connection], _Result], deadline: Deadline | None = None) -> _Result:
        """Does what only reads; each of its statements sees what is committed when it begins."""
        ...

    def read_all(self, work: Callable[[Connection], _Result]) -> _Result:
        """As `read`, for what looks at all rows of a table and takes as long as there are any."""
        ...

    def insert(self, rows: NewRows, deadline: Deadline) -> None:
        """As `write`, for nothing but new rows, by `NEW_IDENTITIES` and `NEW_LOGINS`."""
        ...

    def write(self, work: Callable[[Connection], _Result], deadline: Deadline | None = None) -> _Result:
        """Does what writes as one transaction, which is durable at the end.

        Two such transactions may read the same rows and write others. They must not write the same row on what they
        have read without comparing it where they write.

        Raises:
            StaleReading: Another transaction came between.
            DeadlineExceeded: The deadline was spent before the transaction could begin.
        """
        ...

    def write_alone(self, work: Callable[[Connection], _Result]) -> _Result:
        """As `write`, and what was read is still so at the end, as if no other transaction had written meanwhile."""
        ...

    def migrate(self, work: Callable[[Connection], _Result], patience: float) -> _Result:
        """Changes the schema, as one transaction beside which there is no other such.

        Args:
            work: Makes the changes; it takes as long as it takes.
            patience: Seconds to wait for others before it begins.
        """
        ...

    def close(self) -> None:
        """Gives up all connections."""
        ...


def insert_rows(connection: Connection, rows: NewRows) -> None:
    """Inserts rows within a transaction."""
    for statement, of_statement in rows.items():
        if of_statement:
            connection.execute(statement, of_statement)
