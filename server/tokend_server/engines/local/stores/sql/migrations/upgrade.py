"""Upgrades the schema of a SQL store to the version that this release needs."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from tokend_server.engines.local.stores.sql.migrations import missing


def upgrade(connection: Connection) -> list[str]:
    """Applies the missing migrations in the connection's transaction, and returns their names, oldest first."""
    names = missing(connection)
    if names:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return names
