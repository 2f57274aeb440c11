-- How far the deliveries of each webhook are. A backlog costs this one row, however long it is.
CREATE TABLE webhook_progress (
    tenant          text        NOT NULL,
    webhook         uuid        NOT NULL,
    position        bigint      NOT NULL,
    -- The version of the webhook that was last put into effect, and that of its last replay.
    version         bigint      NOT NULL DEFAULT 0,
    replayed        bigint      NOT NULL DEFAULT 0,
    -- Where a replay with an end goes on after it.
    resume_at       bigint,
    last_success_at timestamptz,
    last_failure_at timestamptz,
    failing_since   timestamptz,
    failures        integer     NOT NULL DEFAULT 0,
    probes          integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    delivered       bigint      NOT NULL DEFAULT 0,
    failed          bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, webhook)
) WITH (fillfactor = 50);

-- A user whose deliveries failed while those of others succeeded: the first event that was not
-- delivered. The events themselves are in the log.
CREATE TABLE webhook_parked (
    tenant          text        NOT NULL,
    webhook         uuid        NOT NULL,
    user_id         uuid        NOT NULL,
    position        bigint      NOT NULL,
    tries           integer     NOT NULL,
    error           text        NOT NULL,
    parked_at       timestamptz NOT NULL,
    next_attempt_at timestamptz,
    PRIMARY KEY (tenant, webhook, user_id)
);
CREATE INDEX webhook_parked_next ON webhook_parked (tenant, webhook, next_attempt_at)
WHERE next_attempt_at IS NOT NULL;

-- The last 1,000 requests of each webhook: each overwrites the row of the one 1,000 before it, in
-- place, so that the table neither grows nor needs to be cleaned.
CREATE TABLE webhook_attempts (
    tenant       text        NOT NULL,
    webhook      uuid        NOT NULL,
    slot         smallint    NOT NULL,
    number       bigint      NOT NULL,
    event_id     uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    position     bigint      NOT NULL,
    status       smallint,
    error        text,
    milliseconds integer     NOT NULL,
    at           timestamptz NOT NULL,
    tries        integer     NOT NULL,
    PRIMARY KEY (tenant, webhook, slot)
) WITH (fillfactor = 70);
