-- The log. Columns up to notification_id are the eventsourcing library's own; the rest says who,
-- for whom, as part of what, and when. Rows are only ever inserted.
CREATE SEQUENCE stored_events_notification_id_seq AS bigint;

CREATE TABLE stored_events (
    originator_id      uuid        NOT NULL,
    originator_version bigint      NOT NULL,
    topic              text        NOT NULL,
    state              bytea       NOT NULL,
    notification_id    bigint      NOT NULL DEFAULT nextval('stored_events_notification_id_seq'),
    tenant             text        NOT NULL,
    kind               text        NOT NULL,
    event_id           uuid        NOT NULL,
    actor              text        NOT NULL,
    on_behalf_of       text,
    correlation_id     text        NOT NULL,
    causation_id       uuid,
    recorded_at        timestamptz NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);
ALTER SEQUENCE stored_events_notification_id_seq OWNED BY stored_events.notification_id;

CREATE UNIQUE INDEX stored_events_position ON stored_events (notification_id);
CREATE INDEX stored_events_actor ON stored_events (actor, notification_id);
CREATE INDEX stored_events_correlation ON stored_events (correlation_id, notification_id);
CREATE INDEX stored_events_time ON stored_events USING brin (recorded_at)
    WITH (pages_per_range = 32, autosummarize = on);

-- One key a person, wrapped by a master key; without its row the person's data cannot be opened.
CREATE TABLE subject_keys (
    tenant    text  NOT NULL,
    subject   uuid  NOT NULL,
    master_id text  NOT NULL,
    wrapped   bytea NOT NULL,
    PRIMARY KEY (subject, tenant)
);
CREATE INDEX subject_keys_master ON subject_keys (master_id);

-- Unique values: value = HMAC-SHA256(index key, normalised value).
CREATE TABLE claims (
    tenant    text  NOT NULL,
    scope     text  NOT NULL,
    value     bytea NOT NULL,
    stream_id uuid  NOT NULL,
    PRIMARY KEY (value, scope, tenant)
);
CREATE INDEX claims_stream ON claims (stream_id, scope);

-- What the first request with an idempotency key was answered.
CREATE TABLE receipts (
    tenant      text        NOT NULL,
    actor       text        NOT NULL,
    key         text        NOT NULL,
    request     bytea       NOT NULL,
    status      smallint    NOT NULL,
    stream      uuid        NOT NULL,
    version     bigint      NOT NULL,
    position    bigint      NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (key, actor, tenant)
);
CREATE INDEX receipts_time ON receipts USING brin (recorded_at) WITH (autosummarize = on);

-- The identity of this log; exactly one row.
CREATE TABLE log (
    only_row          boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    id                uuid        NOT NULL,
    epoch             integer     NOT NULL,
    system_identifier text        NOT NULL,
    timeline          integer     NOT NULL,
    index_master_id   text        NOT NULL,
    index_key         bytea       NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now()
);

-- Where a restore cut the log: positions between the two were given out once and exist no more.
CREATE TABLE log_breaks (
    epoch      integer     PRIMARY KEY,
    last_valid bigint      NOT NULL,
    first_new  bigint      NOT NULL,
    broken_at  timestamptz NOT NULL DEFAULT now()
);

-- How far each follower has come.
CREATE TABLE checkpoints (
    tenant     text        NOT NULL,
    projection text        NOT NULL,
    generation integer     NOT NULL,
    partition  integer     NOT NULL,
    position   bigint      NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, projection, generation, partition)
) WITH (fillfactor = 50);

-- Which generation of each projection serves.
CREATE TABLE projections (
    tenant     text    NOT NULL,
    name       text    NOT NULL,
    generation integer NOT NULL,
    PRIMARY KEY (tenant, name)
);

-- Events a projection could not apply, with the later events of the same stream.
CREATE TABLE parked (
    tenant     text        NOT NULL,
    projection text        NOT NULL,
    generation integer     NOT NULL,
    stream     uuid        NOT NULL,
    version    bigint      NOT NULL,
    position   bigint      NOT NULL,
    event_id   uuid        NOT NULL,
    error      text        NOT NULL,
    parked_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, projection, generation, stream, version)
);
