"""Identities, the logins linked to them, and signing keys."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.String(55).with_variant(sa.String(55, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "identities",
        sa.Column("identity_id", _ID, primary_key=True),
        sa.Column("identity_pool_id", _ID, nullable=False),
        sa.Column("creation_date", sa.BigInteger, nullable=False),
        sa.Column("last_modified_date", sa.BigInteger, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index("identities_by_pool", "identities", ["identity_pool_id", "identity_id"])
    op.create_table(
        "linked_logins",
        sa.Column("login_key", sa.LargeBinary(32), primary_key=True),
        sa.Column("identity_id", _ID, sa.ForeignKey("identities.identity_id", ondelete="CASCADE"), nullable=False),
        sa.Column("provider_name", sa.String(128), nullable=False),
        sa.Column("user_identifier", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("linked_logins_by_identity", "linked_logins", ["identity_id"])
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.String(64), primary_key=True),
        sa.Column("algorithm", sa.String(16), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("private_key", sa.LargeBinary, nullable=False),
        sa.Column("creation_date", sa.BigInteger, nullable=False),
        sa.Column("signs_from", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("algorithm", "generation", name="signing_keys_one_per_generation"),
    )


def downgrade() -> None:
    op.drop_table("signing_keys")
    op.drop_table("linked_logins")
    op.drop_table("identities")
