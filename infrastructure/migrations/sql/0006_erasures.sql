-- The planner samples every column, and what it sampled can be read in pg_stats after the row is
-- gone: no sample of keys, for with one of them and the master key a person could be read again.
ALTER TABLE subject_keys ALTER COLUMN wrapped SET STATISTICS 0;
-- Also drops what was sampled so far.
ALTER TABLE subject_keys ALTER COLUMN wrapped TYPE bytea;
