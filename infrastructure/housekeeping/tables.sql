-- What holds or held people's data: keys, what is sealed by them and goes with them, claims, every
-- build of the views, requests for exports, and what the planner samples of these.
SELECT c.oid::regclass::text
FROM pg_class c
WHERE c.relkind = 'r'
  AND (c.oid = 'pg_catalog.pg_statistic'::regclass
       OR c.relnamespace = current_schema()::regnamespace
       AND (c.relname IN ('subject_keys', 'snapshots', 'claims', 'exports')
            OR EXISTS (
                SELECT FROM projections p
                WHERE c.relname ~ ('^' || p.name || '_g[0-9]+$'))))
ORDER BY 1
