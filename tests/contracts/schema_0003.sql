-- What the release with migration 0003 has made of the database of schema_0002.sql.
CREATE TABLE schema_compatibility (
    oldest_migration VARCHAR(32) NOT NULL,
    PRIMARY KEY (oldest_migration)
);
INSERT INTO schema_compatibility VALUES ('0003');
UPDATE alembic_version SET version_num = '0003';
