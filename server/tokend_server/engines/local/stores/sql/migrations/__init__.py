"""The schema of a SQL store: what of it is applied, and what this release needs."""

from sqlalchemy import Connection, String, column, inspect, select, table

from tokend_server.errors import ConfigError

#: The names of all migrations, oldest first. Alembic is slow to load, and not needed to find out that none is missing.
MIGRATIONS = ("0001", "0002")

_VERSION_TABLE = "alembic_version"
_VERSION = select(column("version_num", String)).select_from(table(_VERSION_TABLE))


def applied(connection: Connection) -> str | None:
    """The newest migration that is applied; None: the database has no schema of this service."""
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    return connection.execute(_VERSION).scalar()


def missing(connection: Connection) -> list[str]:
    """The names of the migrations that are not yet applied, oldest first.

    Raises:
        ConfigError: The schema is that of a newer release.
    """
    current = applied(connection)
    if current is None:
        return list(MIGRATIONS)
    if current not in MIGRATIONS:
        raise ConfigError([f"store: its schema ({current}) is newer than this release"])
    return list(MIGRATIONS[MIGRATIONS.index(current) + 1 :])
