-- Every build of a projection's views, and what becomes of it; numbers are never used again.
CREATE TABLE generations (
    tenant        text        NOT NULL,
    projection    text        NOT NULL,
    generation    integer     NOT NULL,
    partitions    integer     NOT NULL,
    -- filling: by a rebuild alone; following: by the projectors; dropping: by nobody any more.
    state         text        NOT NULL CHECK (state IN ('filling', 'following', 'dropping', 'dropped')),
    -- Filled up to this position, so far with all streams up to `filled_after`.
    filled_to     bigint      NOT NULL DEFAULT 0,
    filled_after  uuid,
    filled_events bigint      NOT NULL DEFAULT 0,
    -- Which job builds it, and with which code: other code starts again from the beginning.
    built_by      text,
    built_with    text,
    began_at      timestamptz NOT NULL DEFAULT now(),
    touched_at    timestamptz NOT NULL DEFAULT now(),
    served_at     timestamptz,
    retired_at    timestamptz,
    drop_after    timestamptz,
    -- What the rebuild that made it serve found.
    result        jsonb,
    PRIMARY KEY (tenant, projection, generation)
) WITH (fillfactor = 50);

INSERT INTO generations (tenant, projection, generation, partitions, state, served_at)
SELECT p.tenant, p.name, p.generation, count(*), 'following', now()
FROM projections p
JOIN checkpoints c
    ON (c.tenant, c.projection, c.generation) = (p.tenant, p.name, p.generation)
GROUP BY p.tenant, p.name, p.generation;

-- A projection that somebody stopped on purpose.
ALTER TABLE projections
    ADD COLUMN paused_at    timestamptz,
    ADD COLUMN paused_by    text,
    ADD COLUMN pause_reason text;

-- Events that a projection leaves out for good, in every generation, and who decided so.
CREATE TABLE skipped (
    tenant     text        NOT NULL,
    projection text        NOT NULL,
    stream     uuid        NOT NULL,
    version    bigint      NOT NULL,
    position   bigint      NOT NULL,
    event_id   uuid        NOT NULL,
    error      text        NOT NULL,
    reason     text        NOT NULL,
    actor      text        NOT NULL,
    skipped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, projection, stream, version)
);
