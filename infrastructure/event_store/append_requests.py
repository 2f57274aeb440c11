"""The arguments and results of the append function: one item per command."""

from collections.abc import Hashable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from eventsourcing.persistence import StoredEvent
from msgspec import Struct

from application.errors import ClaimTaken, KeySeen, VersionConflict
from application.log.event_log import StreamKey

CHANNEL: Final = "rollbook"
_APPEND: Final = "append_v2(%s, %s::jsonb)"
APPEND: Final = f"SELECT {_APPEND}"
# The same if the log's table has this object id and an event at this position or a higher one, else
# NULL: then a restore has replaced the log.
APPEND_TO_LOG: Final = f"""
SELECT CASE WHEN to_regclass('stored_events')::oid::bigint = %s
             AND coalesce((SELECT max(notification_id) FROM stored_events), 0) >= %s
            THEN {_APPEND} END"""

_KEY_SEEN: Final = -1
_WRONG_VERSION: Final = -2
_OTHER_MASTER_KEY: Final = -3
_FIRST_CLAIM: Final = -10
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_encode: Final = msgspec.json.Encoder().encode


class OtherMasterKey(Exception):
    """The master key that wraps the new key is not the current one of the log."""


class AppendRequest(Struct, frozen=True):
    """One command's effect, encoded; two items with a common conflict key never share a batch."""

    payload: bytes
    conflict_keys: frozenset[Hashable]
    scopes: tuple[str, ...] = ()


class AppendResult(Struct, frozen=True):
    """The append function's result for one item.

    `position` and `recorded_at` are those of the item's last event. `recorded_at` is None if an
    earlier attempt, whose reply was lost, already recorded the item.
    """

    position: int
    recorded_at: datetime | None


def append_request(
    *,
    kind: str,
    stream: UUID,
    first: int | None,
    events: Sequence[tuple[UUID, StoredEvent]],
    actor: str,
    correlation_id: str,
    on_behalf_of: str | None = None,
    causation_id: UUID | None = None,
    take: Sequence[tuple[str, bytes]] = (),
    release: Sequence[tuple[str, bytes | None]] = (),
    key: StreamKey | None = None,
    destroy_key: bool = False,
    snapshot: tuple[str, int, bytes] | None = None,
    receipt: tuple[str, bytes, int] | None = None,
) -> AppendRequest:
    """Encodes a command's events with their ids, claims (scope, value) and other effects.

    `first` is None for an item that only stores a snapshot. `snapshot` is (format, version, sealed state),
    `receipt` (idempotency key, digest of the request, status).
    Raises `ValueError` for text that is not UTF-8.
    """
    item: dict[str, Any] = {
        "stream": stream,
        "kind": kind,
        "first": first,
        "events": [
            {"id": event_id, "topic": event.topic, "state": event.state}
            for event_id, event in events
        ],
        "actor": actor,
        "on_behalf_of": on_behalf_of,
        "correlation_id": correlation_id,
        "causation_id": causation_id,
        "take": [{"scope": scope, "value": value} for scope, value in take] or None,
        "release": [scope for scope, _ in release] or None,
        "key": key,
        "destroy_key": destroy_key or None,
        "snapshot": snapshot and dict(zip(("form", "version", "sealed"), snapshot, strict=True)),
        "receipt": receipt and dict(zip(("key", "request", "status"), receipt, strict=True)),
    }
    given = {name: value for name, value in item.items() if value is not None}
    conflict_keys = {stream, *take, *release, receipt and (actor, receipt[0])}
    scopes = tuple(scope for scope, _ in take)
    return AppendRequest(_encode(given), frozenset(conflict_keys) - {None}, scopes)


def batch_payload(items: Sequence[AppendRequest]) -> str:
    """The append function's argument."""
    return (b"[" + b",".join(item.payload for item in items) + b"]").decode()


def append_results(
    answer: Sequence[int], items: Sequence[AppendRequest]
) -> list[AppendResult | Exception]:
    """The append function's answer, item by item: a result, or what stopped the item."""
    base, micros, *results = answer
    if len(results) != len(items):
        raise ValueError(f"{len(items)} items were sent and {len(results)} results came back")
    return [
        _append_result(result, base, micros, item)
        for result, item in zip(results, items, strict=True)
    ]


def _append_result(
    result: int, base: int, micros: int, item: AppendRequest
) -> AppendResult | Exception:
    if result == _KEY_SEEN:
        return KeySeen()
    if result == _WRONG_VERSION:
        return VersionConflict()
    if result == _OTHER_MASTER_KEY:
        return OtherMasterKey()
    if result < 0:
        return ClaimTaken(item.scopes[_FIRST_CLAIM - result])
    if result < base:
        return AppendResult(result, None)
    return AppendResult(result, _EPOCH + timedelta(microseconds=micros + result - base))
