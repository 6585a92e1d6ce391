"""Brings the schema of a SQL store to the version that this release needs."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from sqlalchemy import Connection

from tokend_server.config import ConfigError


def upgrade(connection: Connection) -> list[str]:
    """Applies the missing migrations in the connection's transaction, and returns their names, oldest first."""
    names = missing(connection)
    if names:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return names


def applied(connection: Connection) -> tuple[str, ...]:
    """The newest migrations that are applied; none of them: the database has no schema of this service."""
    return MigrationContext.configure(connection).get_current_heads()


def missing(connection: Connection) -> list[str]:
    """The names of the migrations that are not yet applied, oldest first.

    Raises:
        ConfigError: The schema is that of a newer release.
    """
    current = applied(connection)
    script = ScriptDirectory.from_config(_config())
    try:
        pending = list(script.iterate_revisions(tuple(script.get_heads()), current or "base"))
    except ResolutionError:
        raise ConfigError([f"store: its schema ({', '.join(current)}) is newer than this release"]) from None
    return [revision.revision for revision in reversed(pending)]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config
