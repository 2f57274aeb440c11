-- What was asked for and a worker does; procrastinate's row of it, `task`, is there until it is done.
-- `attempts` counts the runs that began, and tells them apart; `failures` those that failed, and
-- `losses` those whose worker died.
CREATE TABLE jobs (
    tenant           text        NOT NULL,
    id               uuid        NOT NULL,
    kind             text        NOT NULL,
    state            text        NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    arguments        jsonb       NOT NULL,
    once             text,
    actor            text        NOT NULL,
    done             bigint      NOT NULL DEFAULT 0,
    total            bigint,
    rate             double precision,
    result           jsonb,
    error            text,
    attempts         integer     NOT NULL DEFAULT 0,
    failures         integer     NOT NULL DEFAULT 0,
    losses           integer     NOT NULL DEFAULT 0,
    cancel_requested boolean     NOT NULL DEFAULT false,
    task             bigint,
    created_at       timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    finished_at      timestamptz,
    PRIMARY KEY (id, tenant)
) WITH (fillfactor = 80);

-- Lists by state, newest first, however many there are in other states.
CREATE INDEX jobs_state ON jobs (state, id);
-- A job that is asked for once stands alone until it is finished.
CREATE UNIQUE INDEX jobs_once ON jobs (kind, once, tenant)
    WHERE once IS NOT NULL AND state IN ('queued', 'running');
