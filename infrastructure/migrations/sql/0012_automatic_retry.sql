-- The automatic retry of streams whose first parked event could not be read. A null: no retry.
ALTER TABLE parked ADD COLUMN retry_at timestamptz, ADD COLUMN tries smallint NOT NULL DEFAULT 0;
CREATE INDEX parked_retry ON parked (tenant, projection, generation, retry_at)
WHERE retry_at IS NOT NULL;
-- Streams that were parked by an earlier release.
UPDATE parked SET retry_at = clock_timestamp()
WHERE error ~ '^(UnknownTopic|UnknownSchemaVersion|UnknownMasterKey|SealBroken|MalformedState):';
