-- For each version of a stream: the last earlier event that set the user's status, and the last
-- one that set the status that a deleted user would be restored to.
SELECT
    (SELECT e.topic FROM stored_events e
     WHERE e.originator_id = place.stream AND e.originator_version < place.version
       AND e.topic IN ('user.registered', 'user.suspended', 'user.reinstated', 'user.deleted',
                       'user.restored', 'user.erased')
     ORDER BY e.originator_version DESC LIMIT 1),
    (SELECT e.topic FROM stored_events e
     WHERE e.originator_id = place.stream AND e.originator_version < place.version
       AND e.topic IN ('user.registered', 'user.suspended', 'user.reinstated')
     ORDER BY e.originator_version DESC LIMIT 1)
FROM unnest(%(streams)s::uuid[], %(versions)s::bigint[])
    WITH ORDINALITY AS place(stream, version, n)
ORDER BY place.n
