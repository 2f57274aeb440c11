-- One row for each parked stream: its first parked event, and the version of the last that waits
-- behind it. The events themselves are in the log. So lists and counts cost no more than their page.
ALTER TABLE parked ADD COLUMN last_version bigint NOT NULL DEFAULT 0;
UPDATE parked k
SET last_version = (
    SELECT max(l.version) FROM parked l
    WHERE (l.tenant, l.projection, l.generation, l.stream)
        = (k.tenant, k.projection, k.generation, k.stream))
WHERE NOT EXISTS (
    SELECT FROM parked f
    WHERE (f.tenant, f.projection, f.generation, f.stream)
        = (k.tenant, k.projection, k.generation, k.stream) AND f.version < k.version);
DELETE FROM parked WHERE last_version = 0;
ALTER TABLE parked DROP CONSTRAINT parked_pkey,
    ADD PRIMARY KEY (tenant, projection, generation, stream);
-- Each further event of the stream updates the row in place.
ALTER TABLE parked SET (fillfactor = 70);
CREATE INDEX parked_order ON parked (tenant, projection, generation, position);

-- A skip that was taken back stays on record, with the actor.
ALTER TABLE skipped ADD COLUMN removed_at timestamptz, ADD COLUMN removed_by text;
CREATE INDEX skipped_removed ON skipped (tenant, projection, removed_at) WHERE removed_at IS NOT NULL;
