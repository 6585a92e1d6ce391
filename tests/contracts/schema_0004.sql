-- What the release with migration 0004 has made of the database of schema_0003.sql, and kept in it.
CREATE TABLE key_set_fetches (
    server VARCHAR(36) NOT NULL,
    noted_at BIGINT NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (server)
);
INSERT INTO key_set_fetches VALUES ('server-1', 1700000200, x'7b7d');
UPDATE alembic_version SET version_num = '0004';
