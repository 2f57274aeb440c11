-- The current master key: new keys are wrapped under it, and only a rotation changes it.
ALTER TABLE log ADD COLUMN master_id text;
UPDATE log SET master_id = index_master_id;
ALTER TABLE log ALTER COLUMN master_id SET NOT NULL;
DROP FUNCTION IF EXISTS append_v1(text, jsonb);
