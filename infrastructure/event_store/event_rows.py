"""Converts rows of the log to recorded events."""

from collections.abc import Sequence
from typing import Any, Final

from application.keys.ports import KeyRing, SealBroken
from application.log.event_log import StreamKey, Unreadable
from domain.event import Event, Recorded
from infrastructure.event_store.serializer import Undecodable, to_event, to_sealed

EVENT: Final = """
    e.notification_id, e.originator_id, e.originator_version, e.topic, e.state, e.kind, e.event_id,
    e.actor, e.on_behalf_of, e.correlation_id, e.causation_id, e.recorded_at"""
_EVENT_COLUMNS: Final = 12
# The statement that reads the event also reads its wrapped key: a destroyed key is gone at once.
COLUMNS: Final = f"{EVENT}, k.master_id, k.wrapped"
SEALED_COLUMNS: Final = f"{EVENT}, k.subject IS NULL"
WITH_KEY: Final = """
    stored_events e LEFT JOIN subject_keys k ON k.subject = e.originator_id AND k.tenant = e.tenant"""

# One probe per stream: with an ordinary join the planner might read all keys for a few events.
PROBED_KEY: Final = """
    LEFT JOIN LATERAL (
        SELECT s.master_id, s.wrapped FROM subject_keys s
        WHERE s.subject = e.originator_id AND s.tenant = e.tenant
        LIMIT 1) k ON true"""

Row = Sequence[Any]
KEY_COLUMNS: Final = 2


def recorded(row: Row, keys: KeyRing, *, leniently: bool = False) -> Recorded[Event]:
    """The event of a row of `COLUMNS`; with `leniently` an unreadable event becomes `Unreadable`.

    Raises the errors of the key ring and of `to_event`.
    """
    _, stream, _, topic, state, _, event_id, *_ = row
    key = key_of(row)
    cipher = keys.cipher(stream, key) if key is not None else None
    try:
        event = to_event(topic, state, stream, event_id, cipher)
    except (Undecodable, SealBroken) as error:
        if not leniently:
            raise
        event = _unreadable(topic, error)
    return _recorded(row, event)


def sealed(row: Row) -> Recorded[Event]:
    """The event of a row of `SEALED_COLUMNS` as `Sealed`, or `Unreadable` if it cannot be read."""
    topic, state, is_erased = row[3], row[4], row[-1]
    try:
        event = to_sealed(topic, state, is_erased=is_erased)
    except Undecodable as error:
        event = _unreadable(topic, error)
    return _recorded(row, event)


def key_of(row: Row) -> StreamKey | None:
    """The wrapped key at the end of a row of `COLUMNS`."""
    master_id, wrapped = row[-KEY_COLUMNS:]
    if wrapped is None:
        return None
    return StreamKey(master_id=master_id, wrapped=wrapped)


def _recorded(row: Row, event: Event) -> Recorded[Event]:
    (
        position,
        stream,
        version,
        _topic,
        _state,
        kind,
        event_id,
        actor,
        on_behalf_of,
        correlation_id,
        causation_id,
        recorded_at,
    ) = row[:_EVENT_COLUMNS]
    return Recorded(
        event=event,
        kind=kind,
        stream=stream,
        version=version,
        position=position,
        event_id=event_id,
        actor=actor,
        on_behalf_of=on_behalf_of,
        correlation_id=correlation_id,
        causation_id=causation_id,
        recorded_at=recorded_at,
    )


def _unreadable(topic: str, error: Undecodable | SealBroken) -> Unreadable:
    return Unreadable(type=topic, reason=f"{type(error).__name__}: {error}")
