"""The releases that can use the schema, so that servers of two releases can run at the same time."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    made = op.create_table("schema_compatibility", sa.Column("oldest_migration", sa.String(32), primary_key=True))
    op.bulk_insert(made, [{"oldest_migration": revision}])


def downgrade() -> None:
    op.drop_table("schema_compatibility")
