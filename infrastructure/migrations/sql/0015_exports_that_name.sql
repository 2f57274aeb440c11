-- Whether the request of an export may name a person: an erasure waits for such requests only.
ALTER TABLE exports ADD COLUMN names boolean NOT NULL DEFAULT true;
CREATE INDEX exports_naming ON exports (position) WHERE request IS NOT NULL AND names;
