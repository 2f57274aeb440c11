-- The revision of the projection that each generation was built with.
ALTER TABLE generations ADD COLUMN revision integer NOT NULL DEFAULT 1;

-- The projector refuses a view without a required value itself, because a generation may be older or
-- newer than the process that writes it.
DO $$
DECLARE
    named record;
BEGIN
    FOR named IN
        SELECT conrelid::regclass AS holder, conname
        FROM pg_constraint c
        JOIN generations g ON c.conrelid = to_regclass(quote_ident(g.projection || '_g' || g.generation))
        WHERE c.contype = 'c' AND c.conname = g.projection || '_g' || g.generation || '_whole'
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', named.holder, named.conname);
    END LOOP;
END
$$;
