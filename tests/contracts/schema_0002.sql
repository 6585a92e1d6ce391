-- The SQLite database of a release with migrations 0001 and 0002, and what it had registered.
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES ('0002');
CREATE TABLE developer_providers (
    identity_pool_id VARCHAR(55) NOT NULL,
    provider_name VARCHAR(128) NOT NULL,
    PRIMARY KEY (identity_pool_id)
);
INSERT INTO developer_providers VALUES ('eu-west-1:11111111-2222-3333-4444-555555555555', 'login.example');
CREATE TABLE identities (
    identity_id VARCHAR(55) NOT NULL,
    identity_pool_id VARCHAR(55) NOT NULL,
    creation_date BIGINT NOT NULL,
    last_modified_date BIGINT NOT NULL,
    disabled BOOLEAN NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (identity_id)
);
INSERT INTO identities VALUES
    ('eu-west-1:a', 'eu-west-1:11111111-2222-3333-4444-555555555555', 1700000000, 1700000100, 0, 3),
    ('eu-west-1:b', 'eu-west-1:11111111-2222-3333-4444-555555555555', 1700000001, 1700000001, 1, 1);
CREATE TABLE linked_logins (
    login_key BLOB NOT NULL,
    identity_id VARCHAR(55) NOT NULL,
    provider_name VARCHAR(128) NOT NULL,
    user_identifier BLOB NOT NULL,
    PRIMARY KEY (login_key),
    FOREIGN KEY (identity_id) REFERENCES identities (identity_id) ON DELETE CASCADE
) WITHOUT ROWID;
INSERT INTO linked_logins VALUES
    (x'7c1b746f23a6e4270afcff154f8d21c8f8eb67397d4fc6f41ac82ce5c3040ef0', 'eu-west-1:a', 'login.example', x'c3bc'),
    (x'd51722fa5b655946df54f84b6cdd4234115b2f3a56a4ba7d5c79079e9347924b', 'eu-west-1:a', 'login.example', x'79');
CREATE TABLE signing_keys (
    kid VARCHAR(64) NOT NULL,
    algorithm VARCHAR(16) NOT NULL,
    generation INTEGER NOT NULL,
    private_key BLOB NOT NULL,
    creation_date BIGINT NOT NULL,
    signs_from BIGINT NOT NULL,
    PRIMARY KEY (kid),
    CONSTRAINT signing_keys_one_per_generation UNIQUE (algorithm, generation)
);
INSERT INTO signing_keys VALUES ('kid-1', 'RS512', 1, CAST('what was kept' AS BLOB), 1700000000, 1700000003);
CREATE INDEX identities_by_pool ON identities (identity_pool_id, identity_id);
CREATE INDEX linked_logins_by_identity ON linked_logins (identity_id);
PRAGMA application_id = 1953459044;
