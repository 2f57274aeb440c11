-- What a long stream had come to at some of its versions, sealed with the person's key: a shortcut
-- that may be thrown away at any time. Deleting the key deletes them, and none can come after it.
CREATE TABLE snapshots (
    tenant      text        NOT NULL,
    stream      uuid        NOT NULL,
    form        text        NOT NULL,
    version     bigint      NOT NULL,
    position    bigint      NOT NULL,
    created_at  timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    sealed      bytea       NOT NULL,
    PRIMARY KEY (stream, tenant, form, version),
    FOREIGN KEY (stream, tenant) REFERENCES subject_keys (subject, tenant) ON DELETE CASCADE
);
