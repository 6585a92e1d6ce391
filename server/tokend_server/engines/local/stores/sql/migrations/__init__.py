"""The schema of a SQL store: what of it is applied, and what this release needs."""

from sqlalchemy import Connection, String, column, inspect, select, table

from tokend_server.engines.local.stores.sql.tables import schema_compatibility
from tokend_server.errors import ConfigError

#: The names of all migrations, oldest first. Alembic is slow to load, and not needed to find out that none is missing.
MIGRATIONS = ("0001", "0002", "0003", "0004", "0005")

_VERSION_TABLE = "alembic_version"
_VERSION = select(column("version_num", String)).select_from(table(_VERSION_TABLE))
_OLDEST = select(schema_compatibility)


def applied(connection: Connection) -> str | None:
    """The newest migration that is applied; None: the database has no schema of this service."""
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    return connection.execute(_VERSION).scalar()


def missing(connection: Connection) -> list[str]:
    """The names of the migrations that are not yet applied, oldest first.

    The schema may be that of a newer release, as long as that has taken nothing away that this one needs.

    Raises:
        ConfigError: It has.
    """
    current = applied(connection)
    if current is None:
        return list(MIGRATIONS)
    if current in MIGRATIONS:
        return list(MIGRATIONS[MIGRATIONS.index(current) + 1 :])
    if _oldest(connection) not in MIGRATIONS:
        raise ConfigError([f"store: its schema ({current}) is newer than this release"])
    return []


def _oldest(connection: Connection) -> str | None:
    """The migration that a release has to know so that it can work on the schema."""
    if not inspect(connection).has_table(schema_compatibility.name):
        return None
    return connection.execute(_OLDEST).scalar()
