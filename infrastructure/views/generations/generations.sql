-- Every generation of a view in the database, and its position. The position is 0 if no projector
-- follows it, because it is being filled or dropped.
SELECT b.projection, b.generation, p.generation = b.generation AS serves,
       CASE b.state WHEN 'following' THEN coalesce(b.position, 0) ELSE 0 END
FROM (
    SELECT projection, generation, c.position, coalesce(g.state, 'following') AS state
    FROM (SELECT * FROM checkpoints WHERE tenant = :tenant) c
    FULL JOIN (SELECT * FROM generations WHERE tenant = :tenant) g USING (projection, generation)
) b
JOIN projections p ON (p.tenant, p.name) = (:tenant, b.projection)
WHERE b.state <> 'dropped'
ORDER BY b.projection, b.generation
