-- The reactions: `enabled` is the operators' choice; `missing` says why the workers cannot run one,
-- null if they can. Events up to `enabled_from` start no run; runs of events up to `discarded_to` end
-- as skipped. `outages` counts runs in a row that met an outage of the server that they need.
CREATE TABLE reactions (
    tenant          text        NOT NULL,
    name            text        NOT NULL,
    enabled         boolean     NOT NULL DEFAULT true,
    missing         text,
    enabled_from    bigint      NOT NULL,
    discarded_to    bigint      NOT NULL DEFAULT 0,
    outages         integer     NOT NULL DEFAULT 0,
    paused_until    timestamptz,
    notified_parked bigint      NOT NULL DEFAULT 0,
    changed_by      text        NOT NULL,
    changed_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, tenant)
);

-- One row for each reaction and event. Of a user's unfinished runs of a reaction, the first one is
-- queued, running or parked; the others wait. `task` is the entry in the queue of a run that was given
-- to the workers. `follow_up`: the run is finished, and the user's next one is still to be queued.
CREATE TABLE reaction_runs (
    tenant      text        NOT NULL,
    reaction    text        NOT NULL,
    event_id    uuid        NOT NULL,
    position    bigint      NOT NULL,
    stream      uuid        NOT NULL,
    state       text        NOT NULL
        CHECK (state IN ('waiting', 'queued', 'running', 'parked', 'done', 'skipped')),
    attempts    integer     NOT NULL DEFAULT 0,
    tries       integer     NOT NULL DEFAULT 0,
    outages     integer     NOT NULL DEFAULT 0,
    losses      integer     NOT NULL DEFAULT 0,
    error       text,
    task        bigint,
    due_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    since       timestamptz NOT NULL DEFAULT clock_timestamp(),
    follow_up   boolean     NOT NULL DEFAULT false,
    skip_id     uuid,
    skipped_by  text,
    skip_reason text,
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    parked_at   timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (reaction, event_id, tenant)
) WITH (fillfactor = 70);

-- The runs of a user in order.
CREATE INDEX reaction_runs_users ON reaction_runs (reaction, stream, position)
    WHERE finished_at IS NULL;
CREATE INDEX reaction_runs_unfinished ON reaction_runs (reaction, position)
    WHERE finished_at IS NULL;
CREATE INDEX reaction_runs_due ON reaction_runs (reaction, due_at, position)
    WHERE state = 'queued' AND task IS NULL;
CREATE INDEX reaction_runs_tasks ON reaction_runs (task) WHERE task IS NOT NULL;
CREATE INDEX reaction_runs_parked ON reaction_runs (reaction, position) WHERE state = 'parked';
CREATE INDEX reaction_runs_skips ON reaction_runs (skip_id) WHERE skip_id IS NOT NULL;
CREATE INDEX reaction_runs_follow_up ON reaction_runs (reaction, stream) WHERE follow_up;
-- The purge finds runs that finished long ago.
CREATE INDEX reaction_runs_finished ON reaction_runs (finished_at) WHERE finished_at IS NOT NULL;
