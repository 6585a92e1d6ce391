"""Brings the schema of a SQL store to the version that this release needs."""

from pathlib import Path

from sqlalchemy import Connection, String, column, inspect, select, table

from tokend_server.config import ConfigError

#: The names of all migrations, oldest first. Alembic is loaded only where one of them is missing: it is slow to load.
MIGRATIONS = ("0001", "0002")

_VERSION_TABLE = "alembic_version"
_VERSION = select(column("version_num", String)).select_from(table(_VERSION_TABLE))


def upgrade(connection: Connection) -> list[str]:
    """Applies the missing migrations in the connection's transaction, and returns their names, oldest first."""
    names = missing(connection)
    if names:
        from alembic import command  # noqa: PLC0415 - as above
        from alembic.config import Config  # noqa: PLC0415 - as above

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return names


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
