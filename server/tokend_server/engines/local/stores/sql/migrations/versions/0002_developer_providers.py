"""The developer provider of each pool, which must not change while the pool has users."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "developer_providers",
        sa.Column(
            "identity_pool_id", sa.String(55).with_variant(sa.String(55, collation="C"), "postgresql"), primary_key=True
        ),
        sa.Column("provider_name", sa.String(128), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("developer_providers")
