"""The stored identity pools that are not in the configuration."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    identity_pool_id = sa.String(55).with_variant(sa.String(55, collation="C"), "postgresql")
    op.create_table(
        "identity_pools",
        sa.Column("identity_pool_id", identity_pool_id, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("identity_pools")
