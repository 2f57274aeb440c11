-- Every build of a view that lies in the database, and how far each of its partitions is; a build
-- that is not projected, because it is still filled or about to be dropped, is nowhere.
SELECT b.projection, b.generation, p.generation = b.generation AS serves, coalesce(b.partition, 0),
       CASE b.state WHEN 'following' THEN coalesce(b.position, 0) ELSE 0 END
FROM (
    SELECT projection, generation, c.partition, c.position, coalesce(g.state, 'following') AS state
    FROM (SELECT * FROM checkpoints WHERE tenant = :tenant) c
    FULL JOIN (SELECT * FROM generations WHERE tenant = :tenant) g USING (projection, generation)
) b
JOIN projections p ON (p.tenant, p.name) = (:tenant, b.projection)
WHERE b.state <> 'dropped'
ORDER BY b.projection, b.generation, b.partition
