"""Alembic's entry: runs the migrations on the connection that it is handed."""

from alembic import context

from tokend_server.engines.local.stores.sql.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
