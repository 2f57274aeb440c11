-- Exports: `id` is the job's. `request` is what was asked for, sealed, for it may name a person; it is
-- there until the rows are known, or nobody wants them any more. `position` is where the log stood
-- when it was asked for, `shown` what the rows show; `attempt` is the run that may write.
CREATE TABLE exports (
    tenant      text        NOT NULL,
    id          uuid        NOT NULL,
    actor       text        NOT NULL,
    key         text,
    fingerprint bytea,
    request     text,
    position    bigint      NOT NULL,
    attempt     integer     NOT NULL DEFAULT 0,
    rows        bigint,
    shown       bigint,
    asked_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, tenant)
);
-- What the planner samples of a table outlives its rows.
ALTER TABLE exports ALTER COLUMN request SET STATISTICS 0;
CREATE UNIQUE INDEX exports_key ON exports (actor, key, tenant) WHERE key IS NOT NULL;

-- Which rows an export shows, in order: users with the version of each, or the positions of events.
-- Nothing of what they hold, so nothing of a person who is erased stays here.
CREATE TABLE export_pieces (
    tenant  text     NOT NULL,
    export  uuid     NOT NULL,
    number  integer  NOT NULL,
    users   uuid[]   NOT NULL,
    numbers bigint[] NOT NULL,
    PRIMARY KEY (export, number, tenant),
    FOREIGN KEY (export, tenant) REFERENCES exports (id, tenant) ON DELETE CASCADE
);

-- In the transaction that ends the job, whoever ends it: nobody is to come back for the rest.
CREATE FUNCTION give_up_export() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE exports SET request = NULL WHERE id = NEW.id AND tenant = NEW.tenant;
    DELETE FROM export_pieces WHERE export = NEW.id AND tenant = NEW.tenant;
    RETURN NULL;
END $$;
CREATE TRIGGER export_given_up AFTER UPDATE OF state ON jobs FOR EACH ROW
    WHEN (NEW.kind = 'export' AND NEW.state IN ('failed', 'cancelled'))
    EXECUTE FUNCTION give_up_export();

CREATE FUNCTION drop_export() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM exports WHERE id = OLD.id AND tenant = OLD.tenant;
    RETURN NULL;
END $$;
CREATE TRIGGER export_dropped AFTER DELETE ON jobs FOR EACH ROW
    WHEN (OLD.kind = 'export')
    EXECUTE FUNCTION drop_export();

-- Who asked for exports finds them among all jobs.
CREATE INDEX jobs_exports ON jobs (actor, state, id) WHERE kind = 'export';
