"""The connections of reads, and the handling of failed ones."""

import sqlite3

import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from tokend_server.engines.local.stores.sqlite.connections import ReadConnections


class Database:
    """A database in memory with a limit of connections."""

    is_full = False

    def connect(self) -> sqlite3.Connection:
        if self.is_full:
            raise sqlite3.OperationalError("unable to open database file")
        return sqlite3.connect(":memory:")

    def connections(self) -> ReadConnections:
        engine = create_engine("sqlite://", creator=self.connect, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        return ReadConnections(engine, 1)


def fail(connections: ReadConnections) -> None:
    with pytest.raises(OperationalError, match="no such table"), connections.connection() as connection:
        connection.execute(text("SELECT * FROM missing"))


def read(connections: ReadConnections) -> sqlite3.Connection:
    """Reads, and returns the driver's connection that was used."""
    with connections.connection() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
        driver_connection = connection.connection.driver_connection
    assert isinstance(driver_connection, sqlite3.Connection)
    return driver_connection


def test_a_connection_that_fails_is_renewed() -> None:
    connections = Database().connections()
    before = read(connections)
    fail(connections)
    assert read(connections) is not before
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        before.execute("SELECT 1")
    connections.close()


def test_without_a_new_connection_the_failed_one_stays() -> None:
    connections = (database := Database()).connections()
    before = read(connections)
    database.is_full = True
    fail(connections)
    assert read(connections) is before
    connections.close()
