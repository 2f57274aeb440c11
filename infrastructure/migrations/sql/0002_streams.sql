-- One-use passes to the live stream; only a digest of each is kept.
CREATE TABLE tickets (
    tenant      text        NOT NULL,
    digest      bytea       NOT NULL,
    actor       text        NOT NULL,
    permissions text[]      NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (digest, tenant)
);
CREATE INDEX tickets_expiry ON tickets (expires_at);

-- Messages that the broker would not take after several tries, set aside so that the rest flows.
CREATE TABLE relay_rejected (
    tenant      text        NOT NULL,
    position    bigint      NOT NULL,
    event_id    uuid        NOT NULL,
    topic       text        NOT NULL,
    stream      uuid        NOT NULL,
    error       text        NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, position)
);
