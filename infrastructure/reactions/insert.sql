-- Runs of the reactions that are on. The first of a user without an unfinished run is queued; the
-- others wait behind it.
INSERT INTO reaction_runs (tenant, reaction, event_id, position, stream, state)
SELECT %(tenant)s, wanted.reaction, wanted.event_id, wanted.position, wanted.stream,
    CASE
        WHEN row_number() OVER (
            PARTITION BY wanted.reaction, wanted.stream ORDER BY wanted.position) > 1
        THEN 'waiting'
        WHEN EXISTS (
            SELECT FROM reaction_runs AS earlier
            WHERE earlier.reaction = wanted.reaction AND earlier.stream = wanted.stream
                AND earlier.finished_at IS NULL AND earlier.tenant = %(tenant)s)
        THEN 'waiting'
        ELSE 'queued'
    END
FROM unnest(%(reactions)s::text[], %(events)s::uuid[], %(positions)s::bigint[], %(streams)s::uuid[])
    AS wanted (reaction, event_id, position, stream)
JOIN reactions ON reactions.name = wanted.reaction AND reactions.tenant = %(tenant)s
WHERE reactions.enabled AND reactions.missing IS NULL
    AND wanted.position > reactions.enabled_from
    AND NOT EXISTS (
        SELECT FROM reaction_runs AS known
        WHERE known.reaction = wanted.reaction AND known.event_id = wanted.event_id
            AND known.tenant = %(tenant)s)
ORDER BY wanted.position
