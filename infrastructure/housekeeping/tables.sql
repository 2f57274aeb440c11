-- The tables that contain or contained personal data: keys, snapshots sealed with them, claims, all
-- generations of the views, export requests, and the planner's statistics (samples of these).
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
