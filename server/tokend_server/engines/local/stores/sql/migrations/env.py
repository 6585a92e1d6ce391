"""Alembic's entry point: runs the migrations on a given connection."""

from alembic import context

from tokend_server.engines.local.stores.sql.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
