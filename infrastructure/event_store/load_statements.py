"""Loads a stream in one statement: its key, a receipt, the nearest snapshot and later events."""

from typing import Any, Final
from uuid import UUID

from psycopg.types.numeric import Int8

from application.context import TENANT, IdempotencyKey
from application.log.event_log import StreamRange
from domain.catalogue import EVENT_TYPES
from infrastructure.event_store.stored_rows import EVENT

_TERMINAL_TOPICS: Final = [topic for topic, event in EVENT_TYPES.items() if event.is_terminal]

RECEIPT_COLUMNS: Final = 5
# Returns one row even if the stream is empty, so that a receipt is always found. A snapshot is a row
# like an event's: its format is in the topic column, its sealed state in the state column, and its
# event id is null.
LOAD: Final = f"""
SELECT r.request, r.status, r.stream, r.version, r.position, l.*, k.master_id, k.wrapped
FROM (SELECT) AS one
LEFT JOIN receipts r ON r.key = %(idempotency)s AND r.actor = %(actor)s AND r.tenant = %(tenant)s
LEFT JOIN subject_keys k ON k.subject = %(stream)s AND k.tenant = %(tenant)s
LEFT JOIN LATERAL (
    SELECT e.originator_version AS version FROM (
        SELECT e.originator_version, e.topic FROM stored_events e
        WHERE e.originator_id = %(stream)s ORDER BY e.originator_version DESC LIMIT 1) AS e
    WHERE %(last)s OR e.topic = ANY (%(endings)s)
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
    UNION ALL
    SELECT {EVENT}, NULL::timestamptz AS created_at
    FROM stored_events e
    WHERE e.originator_id = %(stream)s
      AND e.originator_version > coalesce(ending.version - 1, s.version, %(after)s)
      AND e.originator_version <= coalesce(
            ending.version, least(%(version)s, coalesce(s.version, %(after)s) + %(most)s))
      AND (ending.version IS NOT NULL
           OR e.recorded_at <= coalesce(%(at)s, 'infinity'::timestamptz))
) AS l ON true
ORDER BY l.originator_version"""

_NO_BOUND: Final = 2**62


def parameters(
    stream: UUID, stream_range: StreamRange, actor: str, idempotency: IdempotencyKey | None
) -> dict[str, Any]:
    """The parameters of `LOAD`; an idempotency key of None finds no receipt."""
    return {
        "stream": stream,
        "tenant": TENANT,
        "actor": actor,
        "idempotency": idempotency.key if idempotency is not None else None,
        "after": Int8(stream_range.after),
        "version": _bound(stream_range.version),
        "at": stream_range.at,
        "most": _bound(stream_range.limit),
        "form": stream_range.snapshot_format,
        "below": _bound(stream_range.before),
        "last": stream_range.last_unopened,
        "endings": _TERMINAL_TOPICS if stream_range.snapshot_format is not None else None,
    }


def _bound(value: int | None) -> Int8:
    """The number as int8: psycopg's type depends on the size, and each type is a new statement."""
    return Int8(_NO_BOUND if value is None else value)
