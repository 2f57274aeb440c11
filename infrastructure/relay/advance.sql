-- Moves the relay's checkpoint, unless another session has, and records the rejected events.
WITH moved AS (
    UPDATE checkpoints
    SET position = %(reached)s, updated_at = clock_timestamp()
    WHERE tenant = %(tenant)s AND projection = 'relay' AND generation = 1 AND partition = 0
        AND position = %(position)s
    RETURNING tenant
), noted AS (
    INSERT INTO relay_rejected (tenant, position, event_id, topic, stream, error)
    SELECT moved.tenant, given.position, given.event_id, given.type, given.stream, given.error
    FROM moved, json_to_recordset(%(set_aside)s::json)
        AS given (position bigint, event_id uuid, type text, stream uuid, error text)
    ON CONFLICT (tenant, position) DO NOTHING
)
SELECT count(*) FROM moved
