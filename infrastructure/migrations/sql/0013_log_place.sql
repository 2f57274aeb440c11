-- Which database and which table hold the log: after a restore into the same server they are others.
-- A migration that replaces the table must write its new object id here.
ALTER TABLE log ADD COLUMN database_oid bigint NOT NULL DEFAULT 0,
                ADD COLUMN table_oid bigint NOT NULL DEFAULT 0;
UPDATE log SET database_oid = (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
               table_oid = 'stored_events'::regclass::oid::bigint;
