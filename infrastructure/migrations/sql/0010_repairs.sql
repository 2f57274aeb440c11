-- How often rows of a slot changed without a new position. A cache that knows another number starts
-- over.
ALTER TABLE checkpoints ADD COLUMN repairs bigint NOT NULL DEFAULT 0;
DROP TABLE IF EXISTS mended;
