"""Fills the tables of the write side as after years of use, with SQL on the server."""

import time
from typing import Final, LiteralString

import psycopg

# Ids grow with time, like a UUIDv7; hashes of addresses are random. All sizes are realistic.
_EVENTS: Final = """
INSERT INTO stored_events (
    originator_id, originator_version, topic, state, notification_id, tenant, kind, event_id,
    actor, correlation_id, recorded_at)
SELECT (at || '7' || left(chance, 3) || '8' || substr(chance, 4, 15))::uuid,
       1,
       'user.registered',
       convert_to('{"data":{"role":"member"},"sealed":"' || repeat(chance, 6) || '"}', 'UTF8'),
       n,
       'main',
       'user',
       (at || '7' || substr(chance, 5, 3) || '9' || substr(chance, 9, 15))::uuid,
       'token:' || n %% 20,
       chance,
       now() - (%(rows)s - n) * interval '1 second'
FROM generate_series(1, %(rows)s) AS n,
     LATERAL (SELECT md5(n::text) AS chance,
                     lpad(to_hex(1600000000000 + 1000::bigint * n), 12, '0') AS at) AS made"""
_KEYS: Final = """
INSERT INTO subject_keys (tenant, subject, master_id, wrapped)
SELECT tenant, originator_id, %(master_id)s,
       sha256(uuid_send(originator_id)) || substr(state, 1, 28)
FROM stored_events"""
_REST: Final[tuple[LiteralString, ...]] = (
    """
INSERT INTO claims (tenant, scope, value, stream_id)
SELECT tenant, 'email', sha256(uuid_send(originator_id)), originator_id FROM stored_events""",
    """
INSERT INTO receipts (tenant, actor, key, request, status, stream, version, position, recorded_at)
SELECT tenant, actor, correlation_id, sha256(uuid_send(event_id)), 201, originator_id, 1,
       notification_id, recorded_at
FROM stored_events""",
    "SELECT setval('stored_events_notification_id_seq', max(notification_id)) FROM stored_events",
)
_FINISH: Final[tuple[LiteralString, ...]] = (
    "VACUUM (ANALYZE) stored_events, subject_keys, claims, receipts",
    "CHECKPOINT",
)


async def fill(connection: psycopg.AsyncConnection, rows: int, master_id: str) -> float:
    """Inserts `rows` users with an event, a key, a claim and a receipt each; returns the seconds.

    `connection` is in autocommit mode, and the tables are empty. The sealed data cannot be opened.
    """
    began = time.perf_counter()
    await connection.execute(_EVENTS, {"rows": rows})
    await connection.execute(_KEYS, {"master_id": master_id})
    for statement in (*_REST, *_FINISH):
        await connection.execute(statement)
    return time.perf_counter() - began
