"""Streams with many events behind one that cannot be read, written by SQL."""

from uuid import UUID

from tests.support.views.directory import execute

UNKNOWN = "user.from_the_future"

# The second event is of an unknown type; the others hold nothing personal. One numbering for the
# columns, as the log has: positions rise with versions.
_EVENTS = """
INSERT INTO stored_events
SELECT originator_id, n,
       CASE WHEN n = 2 THEN %s WHEN n %% 2 = 1 THEN 'user.suspended' ELSE 'user.reinstated' END,
       '{"data":{}}'::bytea, nextval('stored_events_notification_id_seq'), tenant, kind,
       gen_random_uuid(), actor, on_behalf_of, correlation_id, causation_id, recorded_at
FROM stored_events CROSS JOIN generate_series(2, %s) AS n
WHERE originator_id = %s AND originator_version = 1
ORDER BY n"""


async def queue_events(url: str, stream: UUID, events: int) -> None:
    """Record an event of an unknown type in a new stream, and so many events after it."""
    await execute(url, _EVENTS, UNKNOWN, events + 2, stream)


async def make_known(url: str) -> None:
    """Make the unknown events known, as in the next release."""
    known = "UPDATE stored_events SET topic = 'user.reinstated' WHERE topic = %s"
    await execute(url, known, UNKNOWN)
