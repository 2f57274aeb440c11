"""One stream in one statement: its key, a receipt, the nearest snapshot and the events after it."""

from typing import Any, Final
from uuid import UUID

from psycopg.types.numeric import Int8

from application.context import TENANT, IdempotencyKey
from application.log.event_log import StreamRange
from domain.catalogue import EVENT_TYPES
from infrastructure.event_store.event_rows import EVENT

_ENDINGS: Final = [topic for topic, event in EVENT_TYPES.items() if event.is_terminal]

RECEIPT_COLUMNS: Final = 5
# One row even where the stream is empty, so that a receipt is found in any case.
_HEAD: Final = """
SELECT r.request, r.status, r.stream, r.version, r.position, l.*, k.master_id, k.wrapped
FROM (SELECT) AS one
LEFT JOIN receipts r ON r.key = %(idempotency)s AND r.actor = %(actor)s AND r.tenant = %(tenant)s
LEFT JOIN subject_keys k ON k.subject = %(stream)s AND k.tenant = %(tenant)s"""
_EVENTS: Final = f"""
    SELECT {EVENT}, NULL::timestamptz AS created_at
    FROM stored_events e
    WHERE e.originator_id = %(stream)s"""

SPAN: Final = f"""{_HEAD}
LEFT JOIN LATERAL ({_EVENTS}
      AND e.originator_version > %(after)s
      AND e.originator_version <= least(%(version)s, %(after)s + %(most)s)
      AND e.recorded_at <= coalesce(%(at)s, 'infinity'::timestamptz)
) AS l ON true
ORDER BY l.originator_version"""

# A snapshot comes as a row like an event's, with its form for a topic and its seal for a state;
# its event id is null.
NEAREST: Final = f"""{_HEAD}
LEFT JOIN LATERAL (
    SELECT e.originator_version AS version FROM (
        SELECT e.originator_version, e.topic FROM stored_events e
        WHERE e.originator_id = %(stream)s ORDER BY e.originator_version DESC LIMIT 1) AS e
    WHERE e.topic = ANY (%(endings)s)
) AS ending ON true
LEFT JOIN LATERAL (
    SELECT * FROM snapshots s
    WHERE ending.version IS NULL
      AND s.stream = %(stream)s AND s.tenant = %(tenant)s AND s.form = %(form)s
      AND s.version <= %(version)s AND s.version < %(below)s
      AND s.recorded_at <= coalesce(%(at)s, 'infinity'::timestamptz)
    ORDER BY s.version DESC LIMIT 1
) AS s ON true
LEFT JOIN LATERAL (
    SELECT s.position, s.stream, s.version AS originator_version, s.form, s.sealed, NULL, NULL::uuid,
           NULL, NULL, NULL, NULL::uuid, s.recorded_at, s.created_at
    WHERE s.version IS NOT NULL
    UNION ALL {_EVENTS}
      AND e.originator_version > coalesce(ending.version - 1, s.version, 0)
      AND e.originator_version <= coalesce(
            ending.version, least(%(version)s, coalesce(s.version, 0) + %(most)s))
      AND (ending.version IS NOT NULL
           OR e.recorded_at <= coalesce(%(at)s, 'infinity'::timestamptz))
) AS l ON true
ORDER BY l.originator_version"""


_NO_BOUND: Final = 2**62


def parameters(
    stream: UUID, span: StreamRange, actor: str, idempotency: IdempotencyKey | None
) -> dict[str, Any]:
    """What both statements ask; a key that is null finds no receipt."""
    return {
        "stream": stream,
        "tenant": TENANT,
        "actor": actor,
        "idempotency": idempotency.key if idempotency is not None else None,
        "after": Int8(span.after),
        "version": _bound(span.version),
        "at": span.at,
        "most": _bound(span.limit),
        "form": span.snapshot_format,
        "below": _bound(span.before),
        "endings": _ENDINGS,
    }


def _bound(value: int | None) -> Int8:
    """A number of one type, whatever its size: else each size would be a statement of its own."""
    return Int8(_NO_BOUND if value is None else value)
