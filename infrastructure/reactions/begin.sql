-- Begins the run of an entry. An entry is for one run, so a repeat finds the run that it began.
UPDATE reaction_runs AS run
SET state = 'running', attempts = run.attempts + (run.state = 'queued')::int
FROM reactions
WHERE run.task = %(entry)s AND run.tenant = %(tenant)s AND run.reaction = ANY(%(names)s)
    AND run.state IN ('queued', 'running')
    AND reactions.name = run.reaction AND reactions.tenant = %(tenant)s
RETURNING run.reaction, run.event_id, run.position, run.stream, run.attempts, run.tries, run.outages,
    run.since, run.position <= reactions.discarded_to
