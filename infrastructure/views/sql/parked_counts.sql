-- The parked streams of each serving generation, counted up to a limit, which limits the cost.
SELECT p.name, p.generation, counted.streams
FROM projections p
CROSS JOIN LATERAL (
    SELECT count(*) AS streams
    FROM (
        SELECT FROM parked k
        WHERE k.tenant = p.tenant AND k.projection = p.name AND k.generation = p.generation
        LIMIT :most
    ) AS found
) AS counted
WHERE p.tenant = :tenant
