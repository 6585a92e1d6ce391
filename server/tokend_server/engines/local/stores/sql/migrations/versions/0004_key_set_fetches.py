"""Servers' notes about the verifiers that fetch key sets from them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "key_set_fetches",
        sa.Column("server", sa.String(36), primary_key=True),
        sa.Column("noted_at", sa.BigInteger, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("key_set_fetches")
