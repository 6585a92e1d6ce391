"""Empty SQLite files that get a copy of the schema of the first one in this process."""

import sqlite3
from collections.abc import Callable, Iterator

from sqlalchemy import Connection

from tokend_server.engines.local.stores.sql.migrations import MIGRATIONS, missing

#: Applies the missing migrations, and returns their names.
Upgrade = Callable[[Connection], list[str]]


class RepeatedMigrations:
    """An `Upgrade` that migrates the first empty SQLite file with Alembic, and copies the result to later ones.

    Alembic takes 35 ms of CPU for each, and thousands of tests begin with one. All other databases are migrated with
    Alembic.

    Args:
        upgrade: The real migration.
    """

    def __init__(self, upgrade: Upgrade) -> None:
        self._upgrade = upgrade
        self._script: list[str] = []

    def __call__(self, connection: Connection) -> list[str]:
        is_empty = connection.dialect.name == "sqlite" and missing(connection) == [*MIGRATIONS]
        if not is_empty:
            return self._upgrade(connection)
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        if self._script:
            for statement in self._script:
                driver.execute(statement)
            return [*MIGRATIONS]
        names = self._upgrade(connection)
        self._script = [*_schema(driver)]
        return names


def _schema(driver: sqlite3.Connection) -> Iterator[str]:
    """Returns the statements that create a copy of a database, within a transaction."""
    begin, *statements, commit = driver.iterdump()
    assert (begin, commit) == ("BEGIN TRANSACTION;", "COMMIT;")
    yield from statements
