"""The schema of a SQL store: the migrations that are applied, and those that this release needs."""

from sqlalchemy import Connection, String, column, inspect, select, table

from tokend_server.engines.local.stores.sql.tables import schema_compatibility
from tokend_server.errors import ConfigError

#: The names of all migrations, oldest first. Alembic is slow to load, and not needed to see that none is missing.
MIGRATIONS = ("0001", "0002", "0003", "0004", "0005")

_VERSION_TABLE = "alembic_version"
_VERSION = select(column("version_num", String)).select_from(table(_VERSION_TABLE))
_OLDEST = select(schema_compatibility)


def applied(connection: Connection) -> str | None:
    """Returns the newest applied migration; None if the database has no schema of this service."""
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    return connection.execute(_VERSION).scalar()


def missing(connection: Connection) -> list[str]:
    """Returns the names of the migrations that are not yet applied, oldest first.

    The schema may be of a newer release, if that release has removed nothing that this one needs.

    Raises:
        ConfigError: The schema is incompatible with this release.
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
    """Returns the migration that a release must know to use the schema."""
    if not inspect(connection).has_table(schema_compatibility.name):
        return None
    return connection.execute(_OLDEST).scalar()
