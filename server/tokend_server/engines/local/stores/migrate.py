"""Brings the schema of a SQL store to the version that this release needs."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(writes: Engine) -> None:
    """Applies the missing migrations in one transaction; processes that start together wait for each other."""
    with writes.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def missing_migrations(reads: Engine) -> list[str]:
    """The migrations that are not yet applied, oldest first."""
    with reads.connect() as connection:
        current = MigrationContext.configure(connection).get_current_heads()
    script = ScriptDirectory.from_config(_config())
    pending = script.iterate_revisions(tuple(script.get_heads()), current or "base")
    return [revision.revision for revision in pending][::-1]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config
