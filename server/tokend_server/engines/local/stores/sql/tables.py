"""The tables of the SQL store."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from tokend_server.engines.local.store import LOGIN_KEY_BYTES

metadata = MetaData()

#: The id of an identity or of a pool. Every database compares and orders ids byte by byte.
_ID = String(55).with_variant(String(55, collation="C"), "postgresql")

identities = Table(
    "identities",
    metadata,
    Column("identity_id", _ID, primary_key=True),
    Column("identity_pool_id", _ID, nullable=False),
    Column("creation_date", BigInteger, nullable=False),
    Column("last_modified_date", BigInteger, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Index("identities_by_pool", "identity_pool_id", "identity_id"),
)

linked_logins = Table(
    "linked_logins",
    metadata,
    Column("login_key", LargeBinary(LOGIN_KEY_BYTES), primary_key=True),
    Column("identity_id", ForeignKey("identities.identity_id", ondelete="CASCADE"), nullable=False),
    Column("provider_name", String(128), nullable=False),
    Column("user_identifier", LargeBinary, nullable=False),
    Index("linked_logins_by_identity", "identity_id"),
    sqlite_with_rowid=False,
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", String(64), primary_key=True),
    Column("algorithm", String(16), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("private_key", LargeBinary, nullable=False),
    Column("creation_date", BigInteger, nullable=False),
    Column("signs_from", BigInteger, nullable=False),
    UniqueConstraint("algorithm", "generation", name="signing_keys_one_per_generation"),
)

key_set_fetches = Table(
    "key_set_fetches",
    metadata,
    Column("server", String(36), primary_key=True),
    Column("noted_at", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

developer_providers = Table(
    "developer_providers",
    metadata,
    Column("identity_pool_id", _ID, primary_key=True),
    Column("provider_name", String(128), nullable=False),
)

identity_pools = Table(
    "identity_pools",
    metadata,
    Column("identity_pool_id", _ID, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),
)

#: One row: the migration that a release must know to use the schema.
schema_compatibility = Table("schema_compatibility", metadata, Column("oldest_migration", String(32), primary_key=True))
