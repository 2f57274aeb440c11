-- Ends a run, unless it has another entry or none by now, so that a repeat changes nothing. The first
-- outage of a run counts for its reaction; once there were some in a row, each one does, but not those
-- of runs that began before the pause. Any other answer of the server ends the outage.
WITH ended AS (
    UPDATE reaction_runs
    SET state = %(state)s,
        error = CASE WHEN %(state)s <> 'done' THEN coalesce(%(error)s, error) END,
        tries = tries + %(failed)s::int,
        outages = CASE WHEN %(outage)s THEN outages + 1 WHEN %(answered)s THEN 0 ELSE outages END,
        task = NULL,
        due_at = clock_timestamp() + make_interval(secs => %(seconds)s),
        follow_up = %(state)s IN ('done', 'skipped'),
        parked_at = CASE WHEN %(state)s = 'parked' THEN clock_timestamp() END,
        finished_at = CASE WHEN %(state)s IN ('done', 'skipped') THEN clock_timestamp() END
    WHERE task = %(entry)s AND tenant = %(tenant)s AND event_id = %(event)s
        AND reaction = %(reaction)s AND attempts = %(attempt)s AND state = 'running'
    RETURNING reaction, outages
), counted AS (
    UPDATE reactions
    SET outages = CASE WHEN %(outage)s THEN reactions.outages + 1 ELSE 0 END,
        paused_until = CASE
            WHEN %(outage)s AND reactions.outages + 1 >= %(max_outages)s
            THEN clock_timestamp() + make_interval(
                secs => least(2 ^ (reactions.outages + 1 - %(max_outages)s), %(longest)s))
        END
    FROM ended
    WHERE reactions.name = ended.reaction AND reactions.tenant = %(tenant)s
        AND CASE
            WHEN %(outage)s
            THEN (reactions.outages >= %(max_outages)s OR ended.outages = 1)
                AND coalesce(reactions.paused_until < clock_timestamp(), true)
            ELSE %(answered)s AND reactions.outages > 0
        END
)
SELECT count(*) FROM ended
